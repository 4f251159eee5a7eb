"""Alignments drawn at random: counted by a list, uniform, never overlapping, controls labelled."""

from collections import Counter

import pytest
import torch

from iit_lab.alignment.placements import Block, Blocks, Rotated, Scattered
from iit_lab.alignment.sampling import FEW, LAST, AlignmentSpace
from iit_lab.models.mlp import MLP

KINDS = {"block": Block(), "scattered": Scattered(), "blocks": Blocks(), "rotated": Rotated()}


def network(hidden=(6, 6, 6)) -> MLP:
    return MLP(hidden, (4,), 2, torch.Generator().manual_seed(0))


def space(**changes) -> AlignmentSpace:
    given = {"model": network(), "variables": ("a", "b"), "kinds": {"block": Block()}, "layers": [1]}
    return AlignmentSpace(**{**given, **changes})


def everything(wanted: AlignmentSpace) -> list:
    generator = torch.Generator().manual_seed(0)
    return [wanted.at(number, generator) for number in range(wanted.count)]


def spelled(one):
    return one.kind, tuple((name, home.layer, home.units) for name, home in one.homes.items())


def test_blocks_of_one_layer_by_hand():
    """Ordered pairs of disjoint intervals of 6 units."""
    intervals = [(start, stop) for start in range(6) for stop in range(start + 1, 7)]
    pairs = [
        (one, other) for one in intervals for other in intervals if one[1] <= other[0] or other[1] <= one[0]
    ]
    assert space().count == len(pairs)
    assert len({spelled(one) for one in everything(space())}) == len(pairs)


def test_across_layers():
    """Any pair of intervals where the layers differ, disjoint ones where they do not."""
    both = space(layers=[0, 1], across=True)
    alone = space().count
    assert both.count == 2 * alone + 2 * 21 * 21
    assert space(layers=[0, 1]).count == 2 * alone
    assert len({spelled(one) for one in everything(both)}) == both.count


@pytest.mark.parametrize("kind", KINDS)
def test_variables_do_not_overlap(kind):
    wanted = space(kinds={kind: KINDS[kind]}, layers=[0, 1], across=True, sizes=[2, 3])
    for one in wanted.sample(min(60, wanted.count), 0):
        assert one.kind == kind and list(one.homes) == ["a", "b"]
        first, second = one.homes.values()
        for home in (first, second):
            columns = home.directions(6)
            assert home.size in (2, 3) and columns.shape == (6, home.size)
            torch.testing.assert_close(columns.T @ columns, torch.eye(home.size))
        if first.layer == second.layer:
            assert (first.directions(6).T @ second.directions(6)).abs().max() < 1e-5


def test_sampling_is_uniform_without_replacement():
    small = space(sizes=[2], model=network((4, 4, 4)))
    assert small.count == 2  # 0:2 and 2:4, in either order
    larger = space(sizes=[2])  # 2 x C(4, 2) = 12
    drawn = Counter(spelled(one) for seed in range(600) for one in larger.sample(4, seed))
    assert len(drawn) == larger.count == 12
    assert all(abs(count - 200) < 5 * 12 for count in drawn.values())  # 200 +- 12 expected
    assert len({spelled(one) for one in larger.sample(12, 1)}) == 12


def test_evenly_by_kind_and_by_one_or_several_layers():
    kinds = {name: kind for name, kind in KINDS.items() if name != "blocks"}  # too narrow for four runs
    wanted = space(kinds=kinds, layers=[0, 1], across=True, sizes=[2], even=True)
    drawn = wanted.sample(4 * len(kinds), 0)
    strata = Counter((one.kind, len({home.layer for home in one.homes.values()})) for one in drawn)
    assert set(strata.values()) == {2} and len(strata) == 2 * len(kinds)
    assert len({spelled(one) for one in drawn if one.kind != "rotated"}) == 4 * (len(kinds) - 1)
    everything_there = wanted.sample(wanted.count, 1)
    assert Counter(one.kind for one in everything_there) == Counter(
        one.kind for one in space(kinds=kinds, layers=[0, 1], across=True, sizes=[2]).sample(wanted.count, 1)
    )


def test_a_seed_says_which():
    wanted = space(kinds=KINDS)
    assert [spelled(one) for one in wanted.sample(5, 3)] == [spelled(one) for one in wanted.sample(5, 3)]
    assert [spelled(one) for one in wanted.sample(5, 3)] != [spelled(one) for one in wanted.sample(5, 4)]
    rotated = space(kinds={"rotated": Rotated()})
    first, again = (rotated.sample(3, 7)[2].homes["a"].directions(6) for _ in range(2))
    torch.testing.assert_close(first, again)


def test_controls_are_left_out_or_labelled():
    usual = space(layers=None, least={0: 3})
    assert {one.homes["a"].layer for one in everything(usual)} == {0, 1}
    assert all(min(home.size for home in one.homes.values()) >= 3
               for one in everything(usual) if one.homes["a"].layer == 0)  # fmt: skip
    with_controls = space(layers=None, least={0: 3}, controls=True)
    labels = Counter(one.control for one in everything(with_controls))
    assert labels[None] == usual.count and labels[LAST] == space().count
    assert labels[FEW] == with_controls.count - usual.count - labels[LAST]
    assert space(layers=[2], controls=True).count == space().count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": [3]}, r"layers=\[3\]: mlp 6-6-6 has hidden layers 0..2; inputs and outputs are no sites"),
        ({"layers": [-1]}, r"layers=\[-1\]"),
        ({"layers": [2]}, "no alignment of them fits"),
        ({"sizes": [4]}, "no alignment of them fits"),
        ({"kinds": {}}, "no alignment"),
    ],
)
def test_spaces_without_alignments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        space(**changes)


def test_no_more_than_there_are():
    with pytest.raises(ValueError, match="n=13: there are 12 alignments"):
        space(sizes=[2]).sample(13, 0)
