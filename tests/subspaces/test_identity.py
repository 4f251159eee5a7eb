import pytest
import torch
from pyvene import VanillaIntervention

from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice

BASE, FIRST, SECOND = torch.zeros(2, 6), torch.ones(2, 6), 2 * torch.ones(2, 6)


def test_each_variable_s_units_come_from_its_own_target():
    subspace = IdentitySlice(6, ("v", "w"), 2)
    swapped = subspace.swap(BASE, {"v": FIRST, "w": SECOND}, subspace.basis())
    assert swapped.tolist() == [[1, 1, 2, 2, 0, 0]] * 2
    assert BASE.sum() == 0


def test_any_units_in_any_order():
    subspace = IdentitySlice(6, ("v", "w"), 2, units=[5, 0, 3, 2, 1, 4])
    swapped = subspace.swap(BASE, {"v": FIRST, "w": SECOND}, subspace.basis())
    assert swapped.tolist() == [[1, 0, 2, 2, 0, 1]] * 2
    assert subspace.project(torch.arange(6.0)[None], subspace.basis(), "v").tolist() == [[5, 0]]


def test_one_variable_has_the_whole_site():
    subspace = IdentitySlice(6, ("v",), None)
    assert torch.equal(subspace.swap(BASE, {"v": FIRST}, subspace.basis()), FIRST)


def test_several_variables_may_not_all_have_the_whole_site():
    with pytest.raises(ValueError, match="v and w overlap, each has all 6 units"):
        IdentitySlice(6, ("v", "w"), None)


def test_nothing_is_trained():
    assert list(IdentitySlice(6, ("v",), None).parameters()) == []


@pytest.mark.parametrize(("rank", "units"), [(4, [0, 1, 2, 3]), (2, [0, 1])])
def test_swap_agrees_with_pyvene(rank, units):
    base, source = torch.randn(2, 5, 4, generator=generator_for(0, "test"))
    ours = IdentitySlice(4, ("v",), rank)
    theirs = VanillaIntervention(embed_dim=4)
    expected = theirs(base.clone(), source, subspaces=[units] * 5)  # pyvene writes into its argument
    assert torch.equal(ours.swap(base, {"v": source}, ours.basis()), expected)


def test_slots_that_fill_the_site_are_still_disjoint():
    subspace = IdentitySlice(6, ("v", "w"), 3)
    both = subspace.swap(BASE, {"v": FIRST, "w": SECOND}, subspace.basis())
    assert both.tolist() == [[1, 1, 1, 2, 2, 2]] * 2
    assert subspace.swap(BASE, {"w": SECOND}, subspace.basis()).tolist() == [[0, 0, 0, 2, 2, 2]] * 2


def test_directions_are_the_variable_s_units():
    subspace = IdentitySlice(6, ("v", "w"), {"v": 2, "w": 1}, units=[5, 0, 3, 2, 1, 4])
    assert subspace.directions("v").T.tolist() == [[0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]]
    assert subspace.directions("w").T.tolist() == [[0, 0, 0, 1, 0, 0]]
