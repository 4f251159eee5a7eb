import pytest
import torch
from pyvene import BoundlessRotatedSpaceIntervention

from iit_lab.randomness import generator_for
from iit_lab.subspaces.boundless import BoundlessRotation


def boundless(variables=("v",), width=12, **options) -> BoundlessRotation:
    return BoundlessRotation(width, variables, None, generator_for(1), **options)


def pair(width=12) -> tuple[torch.Tensor, torch.Tensor]:
    base, source = torch.randn(2, 5, width, generator=generator_for(0, "test"))
    return base, source


@pytest.mark.parametrize("progress", [0.0, 0.7, 0.97, 1.0])
@pytest.mark.parametrize("boundary", [0.001, 0.3, 0.5, 1.0])
@torch.no_grad()
def test_swap_agrees_with_pyvene(boundary, progress):
    base, source = pair()
    ours = boundless(boundary=boundary)
    ours.anneal(progress)
    theirs = BoundlessRotatedSpaceIntervention(embed_dim=12)
    theirs.rotate_layer.weight = ours.basis().columns
    theirs.set_intervention_boundaries(boundary)
    theirs.set_temperature(ours.temperature)
    expected = theirs(base.clone(), source)
    torch.testing.assert_close(ours.swap(base, {"v": source}, ours.basis()), expected, atol=2e-6, rtol=0)


def test_the_boundary_s_gradient_agrees_with_pyvene_s():
    base, source = pair()
    ours = boundless(boundary=0.4, boundary_speed=10.0)
    ours.anneal(0.99)
    theirs = BoundlessRotatedSpaceIntervention(embed_dim=12)
    with torch.no_grad():
        theirs.rotate_layer.weight = ours.basis().columns
        theirs.set_intervention_boundaries(0.4)
        theirs.set_temperature(ours.temperature)
    theirs(base.clone(), source).square().sum().backward()
    ours.swap(base, {"v": source}, ours.basis()).square().sum().backward()
    expected = 10 * theirs.intervention_boundaries.grad
    torch.testing.assert_close(ours.raw_boundaries.grad, expected, atol=1e-4, rtol=1e-4)
    assert ours.weight.grad.abs().sum() > 0


def test_masks_by_hand():
    subspace = boundless(width=4, temperature=(2.0, 1.0))
    sigmoid = [1 / (1 + torch.tensor(-x / 2).exp().item()) for x in (0, 1, 2, 3)]
    ends = [1 / (1 + torch.tensor(-(2 - x) / 2).exp().item()) for x in (0, 1, 2, 3)]
    expected = torch.tensor([[a * b for a, b in zip(sigmoid, ends, strict=True)]])
    torch.testing.assert_close(subspace.basis().masks, expected)


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 50), (0.5, 25.05), (0.75, 12.575), (1, 0.1), (1.3, 0.1)]
)
def test_the_temperature_falls_linearly(progress, expected):
    subspace = boundless()
    subspace.anneal(progress)
    assert subspace.temperature.item() == pytest.approx(expected)


def test_a_step_of_adam_moves_the_boundary_ten_times_as_far():
    subspace = boundless(boundary_speed=10.0)
    optimizer = torch.optim.Adam(subspace.parameters(), lr=1e-3)
    subspace.size("v").backward()
    optimizer.step()
    assert subspace.boundaries().item() == pytest.approx(0.5 - 1e-2, abs=1e-6)


def test_a_boundary_that_has_reached_an_end_can_come_back():
    subspace = boundless()
    with torch.no_grad():
        subspace.raw_boundaries.fill_(-3.0)
    assert subspace.boundaries().item() == pytest.approx(1e-3, abs=1e-5)
    subspace.anneal(1.0)
    optimizer = torch.optim.SGD([subspace.raw_boundaries], lr=0.01)
    (-subspace.size("v")).backward()
    optimizer.step()
    assert subspace.boundaries().item() > 0.5


@torch.no_grad()
def test_each_variable_moves_within_its_own_slot():
    base, first = pair()
    subspace = boundless(("v", "w"))
    subspace.anneal(0.9)
    basis = subspace.basis()
    moved = subspace.swap(base, {"w": first}, basis) - base
    torch.testing.assert_close(moved @ basis.columns[:, :6], torch.zeros(5, 6), atol=1e-5, rtol=0)
    both = subspace.swap(base, {"v": first, "w": first}, basis)
    alone = subspace.swap(subspace.swap(base, {"v": first}, basis), {"w": first}, basis)
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)
    kept = base.clone()
    assert torch.equal(base, kept)


def test_sizes_are_shares_of_the_site():
    subspace = boundless(("v", "w"))
    with torch.no_grad():
        subspace.raw_boundaries.copy_(torch.tensor([0.5, 1.0]) / 10)
    assert [subspace.size(name).item() for name in "vw"] == pytest.approx([0.25, 0.5])
    assert [subspace.directions(name).shape[1] for name in "vw"] == [3, 6]
    columns = subspace.directions("w")
    torch.testing.assert_close(columns.T @ columns, torch.eye(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 4}, "rank=4: BoundlessRotation learns how much a variable takes up, so rank must be null"),
        ({"boundary": 0.0}, "boundary=0.0: a share of the slot, 0.001 to 1"),
        ({"boundary_speed": 0.0}, "boundary_speed=0.0: must be above 0"),
        ({"temperature": (1.0,)}, r"temperature=\[1.0\]: the first and the last, both above 0"),
        ({"temperature": (1.0, 0.0)}, r"temperature=\[1.0, 0.0\]"),
        ({"until": 0.0}, "until=0.0: a share of training"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        BoundlessRotation(
            **{"width": 4, "variables": ("v",), "rank": None, "generator": generator_for(0)} | options
        )
