"""Reading and writing where activations have positions and heads, and where a run may begin and end."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iit_lab.models.base import Point, StagedModel
from iit_lab.randomness import generator_for
from iit_lab.sites import Site

POSITIONS, HEADS, UNITS = 3, 2, 4
ACTIVATION = torch.randn(5, POSITIONS, HEADS, UNITS, generator=generator_for(0, "activation"))


class Toy(StagedModel):
    """Three stages of elementwise maps; `heads` lies within each of the first two."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[int] = []

    n_stages = 3
    n_layers = 2

    def shapes(self, layer):
        return {"heads": (POSITIONS, HEADS, UNITS), "block_output": (POSITIONS, HEADS * UNITS)}

    def point(self, layer, component):
        return Point(layer + 1) if component == "block_output" else Point(layer, component)

    def run_stage(self, stage, value, tap):
        self.ran.append(stage)
        if stage == 2:
            return value.sum(1)
        return tap("heads", (value * (stage + 2)).unflatten(-1, (HEADS, UNITS))).flatten(2) + 1

    def describe(self):
        return "toy"


@pytest.fixture
def model() -> Toy:
    return Toy()


INPUTS = torch.randn(5, POSITIONS, HEADS * UNITS, generator=generator_for(0, "inputs"))


def some(size: int):
    return st.none() | st.lists(st.integers(0, size - 1), min_size=1, unique=True).map(tuple)


SITES = st.builds(Site, st.just(0), st.just("heads"), some(POSITIONS), some(HEADS), some(UNITS))


def entries(site: Site) -> list[tuple[int, int, int]]:
    """(position, head, unit) of everything at a site, in order."""
    sizes = ((site.positions, POSITIONS), (site.heads, HEADS), (site.units, UNITS))
    return list(product(*(range(size) if index is None else index for index, size in sizes)))


@given(SITES)
def test_read_against_a_loop_over_entries(site):
    expected = torch.stack([ACTIVATION[:, p, h, u] for p, h, u in entries(site)], dim=1)
    assert torch.equal(Toy().read(ACTIVATION, site), expected)
    assert Toy().width(site) == expected.shape[1]


@given(SITES)
def test_write_against_a_loop_over_entries(site):
    kept = ACTIVATION.clone()
    values = torch.arange(5.0 * len(entries(site))).view(5, -1) + 100
    expected = ACTIVATION.clone()
    for i, (p, h, u) in enumerate(entries(site)):
        expected[:, p, h, u] = values[:, i]
    assert torch.equal(Toy().write(ACTIVATION, site, values), expected)
    assert torch.equal(ACTIVATION, kept)


def test_gradients_pass_a_write_where_it_does_not_write(model):
    activation = torch.zeros(2, POSITIONS, HEADS * UNITS, requires_grad=True)
    values = torch.zeros(2, 2, requires_grad=True)
    site = Site(0, "block_output", positions=(1,), units=(2, 3))
    model.write(activation, site, values).sum().backward()
    assert activation.grad.sum().item() == 2 * (POSITIONS * HEADS * UNITS - 2)
    assert torch.equal(activation.grad[:, 1, 2:4], torch.zeros(2, 2))
    assert torch.equal(values.grad, torch.ones(2, 2))


@pytest.mark.parametrize(
    ("site", "stages"),
    [
        (Site(0, "heads"), [0]),
        (Site(0, "block_output"), [0]),
        (Site(1, "heads"), [0, 1]),
        (Site(1, "block_output"), [0, 1]),
    ],
    ids=str,
)
def test_collect_runs_no_stage_past_its_site(model, site, stages):
    model.collect(INPUTS, [site])
    assert model.ran == stages


def test_collect_goes_as_far_as_the_deepest_of_several_sites(model):
    collected = model.collect(INPUTS, [Site(1, "heads", units=(0,)), Site(0, "block_output")])
    assert model.ran == [0, 1]
    torch.testing.assert_close(collected[Site(0, "block_output")], (2 * INPUTS + 1).flatten(1))
    second = (3 * (2 * INPUTS + 1)).unflatten(-1, (HEADS, UNITS))
    torch.testing.assert_close(collected[Site(1, "heads", units=(0,))], second[..., 0].flatten(1))


def test_collect_from_a_kept_stage_input(model):
    site = Site(1, "heads")
    kept = model.run(INPUTS, stop=1)
    model.ran.clear()
    from_kept = model.collect(kept, [site], start=1)[site]
    assert model.ran == [1]
    assert torch.equal(from_kept, Toy().collect(INPUTS, [site])[site])


@pytest.mark.parametrize("stage", range(4))
def test_a_run_cut_in_two_is_the_whole_run_and_runs_each_stage_once(model, stage):
    cut = model.run(model.run(INPUTS, stop=stage), start=stage)
    assert model.ran == [0, 1, 2]
    assert torch.equal(cut, Toy()(INPUTS))


def test_edits_at_the_first_and_the_last_stage_s_input_by_hand(model):
    edits = {Point(0): lambda value: value + 1, Point(1): lambda value: value * 10}
    torch.testing.assert_close(model.run(INPUTS, edits, stop=1), 10 * (2 * (INPUTS + 1) + 1))


def test_an_edit_before_the_start_is_not_made(model):
    kept = model.run(INPUTS, stop=2)
    edited = model.run(kept, {Point(1, "heads"): torch.zeros_like}, start=2)
    assert torch.equal(edited, Toy()(INPUTS))


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(-1, "heads"), "layer=-1: toy has layers 0..1"),
        (Site(0, "heads", heads=(0, 2)), "heads=0,2: layer 0 heads of toy has heads 0..1"),
        (Site(0, "heads", units=(4,)), "units=4: layer 0 heads of toy has units 0..3"),
        (Site(0, "heads", positions=(1, 3)), "position=1,3: layer 0 heads of toy has position 0..2"),
        (
            Site(1, "block_output", positions=(3,)),
            "position=3: layer 1 block_output of toy has position 0..2",
        ),
    ],
    ids=str,
)
def test_a_site_that_is_not_there_is_refused(model, site, message):
    with pytest.raises(ValueError, match=message):
        model.check(site)


def test_a_site_that_is_there_is_not_refused(model):
    model.check(Site(1, "heads", positions=(0, 2), heads=(1,), units=(3,)))


def test_all_units_by_name_are_the_whole_site(model):
    assert model.resolve(Site(0, "heads", units=(0, 1, 2, 3))) == Site(0, "heads")
    assert model.resolve(Site(0, "block_output", units=(0, 1, 2, 3))).units == (0, 1, 2, 3)
