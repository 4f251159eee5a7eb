"""Principal components of the site's activations; nothing is trained."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.subspaces.base import Rank, Subspace, assign_slots
from iit_lab.subspaces.rotation import LOW_RANK, moved, pyvene_rotation


class Components(NamedTuple):
    """What coordinates are read with, and what they are written along."""

    read: Float[Tensor, "width rank"]
    write: Float[Tensor, "width rank"]


class PrincipalComponents(Subspace):
    r"""The first principal components, `rank` for each variable in their order.

    With components $P_v$ and the units' standard deviations $D$ (the identity unless `standardise`)

    $$\mathrm{swap}(b, s) = b + \sum_v D P_v P_v^\top D^{-1} (s_v - b);$$

    the mean cancels. Standardised, it is pyvene's PCARotatedSpaceIntervention.

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: components per variable; None shares the width equally.
        generator: unused; nothing here is random.
        standardise: divide each unit by its standard deviation; one that never varies is left as it is.

    Raises:
        ValueError: if the slots do not fit in `width`.
    """

    needs_data: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        variables: tuple[str, ...],
        rank: Rank,
        generator: torch.Generator | None = None,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        del generator
        self.width, self.standardise = width, standardise
        self.slots = assign_slots(width, variables, rank)
        stop = max(slot.stop for slot in self.slots.values())
        self.register_buffer("components", torch.zeros(width, stop))
        self.register_buffer("deviation", torch.ones(width))

    def to_pyvene(self) -> tuple[str, dict[str, Tensor]]:
        """A rotation with the components as columns; pyvene's own class for them cannot be loaded."""
        if self.standardise:
            raise ValueError("standardise=True: pyvene's saved interventions have no such kind")
        return LOW_RANK, pyvene_rotation(self.get_buffer("components"))

    def fit(self, activations: Float[Tensor, "n width"]) -> None:
        """Find the components.

        Raises:
            ValueError: if there are fewer activations than components.
        """
        from sklearn.decomposition import PCA  # takes a second to import

        components, deviation = self.get_buffer("components"), self.get_buffer("deviation")
        wanted, found = components.shape[1], len(activations)
        if found < wanted:
            rank = wanted // len(self.slots)
            raise ValueError(f"rank={rank}: {wanted} components need as many activations, there are {found}")
        values = activations.detach().cpu().double()
        if self.standardise:
            spread = values.std(0, correction=0)
            deviation.copy_(torch.where(spread > 0, spread, 1.0))
            values = (values - values.mean(0)) / deviation.cpu()
        principal = PCA(wanted, svd_solver="full").fit(values.numpy()).components_
        components.copy_(torch.from_numpy(principal).mT)

    def basis(self) -> Components:
        """Components in the site's own units."""
        components, deviation = self.get_buffer("components"), self.get_buffer("deviation")[:, None]
        return Components(components / deviation, components * deviation)

    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Components,
    ) -> Float[Tensor, "batch width"]:
        """`base`, with its coordinates in each variable's components taken from the variable's target."""
        swapped = base
        for name, target in targets.items():
            slot = self.slots[name]
            swapped = moved(swapped, target - base, basis.read[:, slot], basis.write[:, slot])
        return swapped

    def project(
        self, activation: Float[Tensor, "batch width"], basis: Components, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """Coordinates along the variable's components; the site's mean is not taken away."""
        return activation @ basis.read[:, self.slots[variable]]

    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """The variable's components."""
        return self.get_buffer("components")[:, self.slots[variable]]
