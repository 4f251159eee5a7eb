"""At which tokens a subspace over several positions lies: the attention heat map of the DAS thesis."""

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel

PREFIX = "share/position_"


def shares(directions: Float[Tensor, "width rank"], positions: int) -> Float[Tensor, " positions"]:
    """Share of the directions' squared length that lies at each position; they add up to 1.

    Args:
        directions: columns over a site that has the units of one position after those of another.
        positions: how many.
    """
    squares = directions.reshape(positions, -1).square().sum(1)
    return squares / squares.sum()


@torch.no_grad()
def of_intervention(model: StagedModel, intervention: Intervention) -> dict[str, float]:
    """Shares by position as metrics, over all variables and places; none where a site has no positions."""
    found: dict[int, float] = {}
    total = 0
    for place in intervention.places:
        shape = model.shapes(place.site.layer)[place.site.component]
        if len(shape) < 2:
            return {}
        names = range(shape[0]) if place.site.positions is None else place.site.positions
        for name in place.variables:
            directions = intervention.subspace(place).directions(name)
            for position, share in zip(names, shares(directions, len(names)).tolist(), strict=True):
                found[position] = found.get(position, 0.0) + share
            total += 1
    return {f"{PREFIX}{position}": share / total for position, share in sorted(found.items())}
