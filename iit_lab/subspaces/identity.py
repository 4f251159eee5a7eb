"""Identity slices: a variable lives in units of the site as they are (localist, axis-aligned)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from iit_lab.subspaces.base import Rank, Subspace, assign_slots


class IdentitySlice(Subspace):
    """Units of the site, in the standard basis. Nothing is trained.

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: units per variable, one block after another; None gives a single variable all of them.
        generator: unused; nothing here is random.
        units: the site's units in slot order; None for their natural order.

    Raises:
        ValueError: if several variables would overlap, or the blocks do not fit.
    """

    pyvene_kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"VanillaIntervention": {}}

    def __init__(
        self,
        width: int,
        variables: tuple[str, ...],
        rank: Rank,
        generator: torch.Generator | None = None,
        units: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        del generator
        if rank is None and len(variables) > 1:
            raise ValueError(
                f"rank=None: {' and '.join(variables)} overlap, each has all {width} units of the site; "
                "give them disjoint units, or a rank for blocks one after another"
            )
        self.width = width
        self.slots = assign_slots(width, variables, rank)
        order = torch.arange(width) if units is None else torch.as_tensor(units)
        self.register_buffer("units", order)
        for name, slot in self.slots.items():
            mask = torch.zeros(width, dtype=torch.bool)
            mask[order[slot]] = True
            self.register_buffer(f"mask_{name}", mask, persistent=False)

    def to_pyvene(self) -> tuple[str, dict[str, Tensor]]:
        """A vanilla intervention, which has no state; of units in their natural order."""
        if self.basis().tolist() != list(range(self.width)):
            raise ValueError("units: pyvene's saved interventions take the first units of a site")
        return "VanillaIntervention", {}

    def basis(self) -> Int[Tensor, " width"]:
        """The units, in slot order."""
        return self.get_buffer("units")

    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Tensor,
    ) -> Float[Tensor, "batch width"]:
        """`base` with each variable's units taken from its target."""
        for name, target in targets.items():
            slot = self.slots[name]
            whole = slot.stop - slot.start == self.width
            base = target if whole else torch.where(self.get_buffer(f"mask_{name}"), target, base)
        return base

    def project(
        self, activation: Float[Tensor, "batch width"], basis: Tensor, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """The variable's units."""
        return activation.index_select(1, basis[self.slots[variable]])

    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """A column of the standard basis for each of the variable's units."""
        units = self.get_buffer("units")
        return torch.eye(self.width, device=units.device)[:, units[self.slots[variable]]]
