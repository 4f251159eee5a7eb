"""Counts and numbering of placements, against a list of all of them."""

from itertools import chain, combinations, pairwise

import pytest

from iit_lab.alignment.placements import Block, Blocks, Scattered


def runs(units) -> int:
    return 1 + sum(after - before > 1 for before, after in pairwise(units))


def every(width, sizes):
    """All disjoint choices of units."""
    if not sizes:
        return [()]
    found = []
    for rest in every(width, sizes[1:]):
        free = [unit for unit in range(width) if unit not in set(chain(*rest))]
        found += [(units, *rest) for units in combinations(free, sizes[0])]
    return found


def apart(placed) -> bool:
    """Whether any two runs, of whatever variables, have a free unit between them."""
    owner = {unit: i for i, units in enumerate(placed) for unit in units}
    return all(owner.get(unit + 1, i) == i for unit, i in owner.items())


EXPECTED = {
    Block(): lambda placed: all(runs(units) == 1 for units in placed),
    Scattered(): lambda placed: True,
    Blocks(2): lambda placed: all(runs(units) == 2 for units in placed) and apart(placed),
    Blocks(3): lambda placed: all(runs(units) == 3 for units in placed) and apart(placed),
}


@pytest.mark.parametrize(
    "kind", EXPECTED, ids=lambda kind: f"{type(kind).__name__}{getattr(kind, 'runs', '')}"
)
@pytest.mark.parametrize("sizes", [(1,), (4,), (1, 1), (2, 3), (3, 3), (1, 2, 1)])
@pytest.mark.parametrize("width", [5, 8])
def test_every_placement_has_one_number(kind, sizes, width):
    wanted = sorted(placed for placed in every(width, sizes) if EXPECTED[kind](placed))
    found = [tuple(kind.at(width, sizes, number)) for number in range(kind.count(width, sizes))]
    assert sorted(found) == wanted


def test_the_benchmarks_layer():
    """Two runs of 1 and 10 in 16 units: 2 orders, 5 free units in 3 gaps."""
    assert Block().count(16, (1, 10)) == 2 * 21
    assert Scattered().count(16, (8, 8)) == 12870


def test_runs_are_several():
    with pytest.raises(ValueError, match="runs=1"):
        Blocks(1)
