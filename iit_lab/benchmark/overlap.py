"""How much of the places that are claimed are the true ones. For information: true places are not unique."""

import torch

from iit_lab.benchmark.claims import Claims, columns_of
from iit_lab.models.base import StagedModel


def jaccard(claimed: Claims, true: Claims, variable: str) -> float | None:
    """Units in both over units in either; None where one of them is no set of units."""
    homes = [*claimed[variable], *true[variable]]
    if any(home.basis is not None for home in homes):
        return None
    first, second = (
        {(home.site, unit) for home in claims[variable] for unit in home.units} for claims in (claimed, true)
    )
    return len(first & second) / len(first | second)


def alignment_of(claimed: Claims, true: Claims, variable: str, model: StagedModel) -> float:
    r"""Mean squared cosine of the principal angles between the two subspaces.

    Over the dimensions of the larger one, $\|Q_1^\top Q_2\|_F^2 / \max(r_1, r_2)$, with different layers
    (and positions) orthogonal to each other: 1 for the same subspace, 0 for orthogonal ones.
    """
    first, second = (columns_of({variable: claims[variable]}, model) for claims in (claimed, true))
    shared = sum(
        float((first[site][variable].mT @ second[site][variable]).square().sum())
        for site in first
        if site in second
    )
    sizes = [sum(own[variable].shape[1] for own in each.values()) for each in (first, second)]
    return shared / max(sizes)


def principal_angles(claimed: Claims, true: Claims, variable: str, model: StagedModel) -> list[float]:
    """Principal angles in radians, the largest first, of what both claim in the layers that they share."""
    first, second = (columns_of({variable: claims[variable]}, model) for claims in (claimed, true))
    cosines = [
        torch.linalg.svdvals(first[site][variable].mT.double() @ second[site][variable].double())
        for site in first
        if site in second
    ]
    if not cosines:
        return []
    return sorted(torch.cat(cosines).clamp(max=1.0).arccos().tolist(), reverse=True)
