from types import SimpleNamespace

import pytest
import torch
from pyvene import PCARotatedSpaceIntervention
from sklearn.decomposition import PCA

from iit_lab.randomness import generator_for
from iit_lab.subspaces.pca import PrincipalComponents

ACTIVATIONS = torch.randn(200, 12, generator=generator_for(0)) * torch.linspace(3, 0.1, 12) + 2.0
BASE, FIRST, SECOND = ACTIVATIONS[:15].view(3, 5, 12)


def fitted(variables=("v",), rank=4, **options) -> PrincipalComponents:
    subspace = PrincipalComponents(12, variables, rank, **options)
    subspace.fit(ACTIVATIONS)
    return subspace


@pytest.mark.parametrize("rank", [1, 4, 12])
def test_standardised_swap_agrees_with_pyvene(rank):
    ours = fitted(rank=rank, standardise=True)
    mean, spread = ACTIVATIONS.mean(0), ACTIVATIONS.std(0, correction=0)
    pca = PCA(12).fit(((ACTIVATIONS - mean) / spread).double().numpy())
    theirs = PCARotatedSpaceIntervention(
        embed_dim=12,
        pca=SimpleNamespace(components_=pca.components_),
        pca_mean=mean.numpy(),
        pca_std=spread.numpy(),
    )
    theirs.set_interchange_dim(rank)
    expected = theirs(BASE.clone(), FIRST)
    torch.testing.assert_close(ours.swap(BASE, {"v": FIRST}, ours.basis()), expected, atol=1e-5, rtol=0)


def test_components_come_in_order_of_variance():
    subspace = fitted(("v", "w"), 3)
    found = [subspace.project(ACTIVATIONS, subspace.basis(), name).std(0).tolist() for name in ("v", "w")]
    spread = [*found[0], *found[1]]
    assert spread == sorted(spread, reverse=True)
    columns = torch.cat([subspace.directions("v"), subspace.directions("w")], 1)
    torch.testing.assert_close(columns.T @ columns, torch.eye(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("standardise", [False, True])
def test_each_variable_s_coordinates_come_from_its_own_target(standardise):
    subspace = fitted(("v", "w"), 3, standardise=standardise)
    basis = subspace.basis()
    both = subspace.swap(BASE, {"v": FIRST, "w": SECOND}, basis)
    for name, target in (("v", FIRST), ("w", SECOND)):
        torch.testing.assert_close(
            subspace.project(both, basis, name), subspace.project(target, basis, name), atol=1e-4, rtol=0
        )


def test_all_components_are_the_whole_site():
    for standardise in (False, True):
        subspace = fitted(rank=12, standardise=standardise)
        swapped = subspace.swap(BASE, {"v": FIRST}, subspace.basis())
        torch.testing.assert_close(swapped, FIRST, atol=1e-4, rtol=0)


def test_a_unit_that_never_varies_is_left_as_it_is():
    dead = ACTIVATIONS.clone()
    dead[:, 3] = 0
    subspace = PrincipalComponents(12, ("v",), 4, standardise=True)
    subspace.fit(dead)
    assert subspace.swap(dead[:5], {"v": dead[5:10]}, subspace.basis()).isfinite().all()


def test_nothing_is_trained():
    assert list(fitted().parameters()) == []
    assert set(fitted().state_dict()) == {"components", "deviation"}


def test_too_few_activations():
    with pytest.raises(ValueError, match="rank=3: 6 components need as many activations, there are 5"):
        PrincipalComponents(12, ("v", "w"), 3).fit(ACTIVATIONS[:5])


def test_a_rank_outside_the_site_is_refused():
    with pytest.raises(ValueError, match="rank=7: the site has 12 units shared by 2 variables"):
        PrincipalComponents(12, ("v", "w"), 7)
