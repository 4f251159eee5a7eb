import pytest
import torch
from pyvene import LowRankRotatedSpaceIntervention
from torch.nn.utils.parametrizations import orthogonal

from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation, Rotation


@pytest.fixture
def generator() -> torch.Generator:
    return generator_for(0, "test")


def one(kind=LowRankRotation, rank: int | None = 4, generator=None):
    return kind(12, ("v",), rank, generator or generator_for(1))


@pytest.mark.parametrize("kind", [LowRankRotation, Rotation])
def test_swap_agrees_with_pyvene(kind, generator):
    base, source = torch.randn(2, 5, 12, generator=generator)
    ours = one(kind)
    theirs = LowRankRotatedSpaceIntervention(embed_dim=12, low_rank_dimension=4)
    with torch.no_grad():
        theirs.rotate_layer.weight = ours.basis()[:, :4]
    torch.testing.assert_close(
        ours.swap(base, {"v": source}, ours.basis()), theirs(base.clone(), source), atol=1e-6, rtol=0
    )


def test_basis_spans_what_torch_s_parametrisation_of_the_same_weight_spans(generator):
    ours = one()
    layer = orthogonal(torch.nn.Linear(4, 12, bias=False))
    with torch.no_grad():
        layer.weight = ours.basis()
        basis = ours.basis()
    torch.testing.assert_close(layer.weight @ layer.weight.T, basis @ basis.T, atol=1e-5, rtol=0)


def test_basis_stays_orthonormal_and_spans_the_weight_after_steps():
    rotation = one()
    optimizer = torch.optim.Adam(rotation.parameters(), lr=0.3)
    target = torch.randn(12, 4, generator=generator_for(2))
    for _ in range(20):
        optimizer.zero_grad()
        (rotation.basis() * target).sum().backward()
        optimizer.step()
    basis = rotation.basis()
    torch.testing.assert_close(basis.T @ basis, torch.eye(4), atol=1e-5, rtol=0)
    outside = rotation.weight - basis @ basis.T @ rotation.weight
    torch.testing.assert_close(outside, torch.zeros(12, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", [LowRankRotation, Rotation])
def test_full_rank_swap_is_the_source(kind, generator):
    base, source = torch.randn(2, 5, 12, generator=generator)
    rotation = one(kind, rank=12)
    torch.testing.assert_close(
        rotation.swap(base, {"v": source}, rotation.basis()), source, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("rank", [2, 4, 6])
def test_swap_moves_only_within_its_own_slot(rank, generator):
    base, first, second = torch.randn(3, 5, 12, generator=generator)
    rotation = LowRankRotation(12, ("v", "w"), rank, generator)
    basis = rotation.basis()
    both = rotation.swap(base, {"v": first, "w": second}, basis)
    for name, source in (("v", first), ("w", second)):
        torch.testing.assert_close(
            rotation.project(both, basis, name), rotation.project(source, basis, name), atol=1e-5, rtol=0
        )
    moved = both - base
    torch.testing.assert_close(moved - moved @ basis @ basis.T, torch.zeros(5, 12), atol=1e-5, rtol=0)
    alone = rotation.swap(base, {"w": second}, basis)
    torch.testing.assert_close(
        rotation.project(alone, basis, "v"), rotation.project(base, basis, "v"), atol=1e-5, rtol=0
    )


def test_swap_returns_a_new_tensor(generator):
    base, source = torch.randn(2, 5, 12, generator=generator)
    kept = base.clone()
    rotation = one()
    rotation.swap(base, {"v": source}, rotation.basis())
    assert torch.equal(base, kept)


def test_full_and_low_rank_rotations_of_the_same_columns_agree(generator):
    base, source = torch.randn(2, 5, 12, generator=generator)
    full, low = one(Rotation), one(LowRankRotation)
    with torch.no_grad():
        low.weight.copy_(full.weight[:, :4])
    torch.testing.assert_close(
        full.swap(base, {"v": source}, full.basis()), low.swap(base, {"v": source}, low.basis())
    )


def test_only_the_columns_in_use_are_stored():
    assert one().weight.shape == (12, 4)
    assert one(Rotation).weight.shape == (12, 12)


@pytest.mark.parametrize("rank", [0, 7])
def test_rank_outside_the_site_is_refused(rank):
    with pytest.raises(
        ValueError, match=f"rank={rank}: the site has 12 units shared by 2 variables, so 1 <= rank <= 6"
    ):
        LowRankRotation(12, ("v", "w"), rank, generator_for(0))


def test_without_a_rank_variables_share_the_width():
    assert LowRankRotation(13, ("v", "w"), None, generator_for(0)).slots == {
        "v": slice(0, 6),
        "w": slice(6, 12),
    }


@pytest.mark.parametrize("kind", [LowRankRotation, Rotation])
def test_a_variable_with_the_whole_site_has_nothing_to_train(kind, generator):
    base, source = torch.randn(2, 5, 12, generator=generator)
    rotation = one(kind, rank=12)
    assert not rotation.weight.requires_grad
    assert torch.equal(rotation.swap(base, {"v": source}, rotation.basis()), source)
    assert one(kind, rank=11).weight.requires_grad
    assert kind(12, ("v", "w"), 6, generator).weight.requires_grad


def test_slots_of_different_ranks():
    rotation = LowRankRotation(12, ("v", "w"), {"v": 7, "w": 0}, generator_for(0))
    assert rotation.slots == {"v": slice(0, 7), "w": slice(7, 7)}
    base, source = torch.randn(2, 5, 12, generator=generator_for(0))
    assert torch.equal(rotation.swap(base, {"w": source}, rotation.basis()), base)
    nothing = LowRankRotation(12, ("v",), {"v": 0}, generator_for(0))
    assert torch.equal(nothing.swap(base, {"v": source}, nothing.basis()), base)
    with pytest.raises(ValueError, match="13 dimensions in all, the site has 12 units"):
        LowRankRotation(12, ("v", "w"), {"v": 7, "w": 6}, generator_for(0))


def test_directions_are_the_variable_s_columns():
    rotation = LowRankRotation(12, ("v", "w"), 3, generator_for(0))
    assert torch.equal(rotation.directions("w"), rotation.basis()[:, 3:])
    assert rotation.size("w") is None
