"""Rotated subspaces: the bases that distributed alignment search (DAS) learns.

Geiger et al. 2024, "Finding Alignments Between Interpretable Causal Variables and Distributed Neural
Representations", section 3.
"""

from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from iit_lab.subspaces.base import Rank, Subspace, assign_slots

LOW_RANK = "LowRankRotatedSpaceIntervention"


class OrthonormalSubspace(Subspace, ABC):
    r"""Orthonormal columns, some of which belong to each variable.

    The swap keeps what is orthogonal to the slots and replaces what lies in them, with columns $Q_v$ and
    target $s_v$ for variable $v$:

    $$\mathrm{swap}(b, s) = b + \sum_v Q_v Q_v^\top (s_v - b), \qquad Q = \mathrm{qr}(W).$$

    Only `weight` is stored; one thin QR per step, O(width x rank^2), and no width x width matrix unless the
    rotation is a full one. A variable that has the whole site swaps it in any basis: nothing is trained.
    """

    weight: nn.Parameter

    def basis(self) -> Float[Tensor, "width rank"]:
        """Orthonormal columns, spanning what the weight's columns span."""
        return torch.linalg.qr(self.weight).Q

    @torch.no_grad()
    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """The variable's columns."""
        return self.basis()[:, self.slots[variable]]

    def to_pyvene(self) -> tuple[str, dict[str, Tensor]]:
        """A rotation with the same columns."""
        return next(iter(self.pyvene_kinds), LOW_RANK), pyvene_rotation(self.basis())

    def from_pyvene(self, state: Mapping[str, Tensor]) -> None:
        """Take over its columns, as many as are used here."""
        self.weight.data.copy_(basis_of_pyvene(state)[:, : self.weight.shape[1]])

    def _keep_still(self) -> None:
        if any(slot.stop - slot.start == self.width for slot in self.slots.values()):
            self.weight.requires_grad_(False)

    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Float[Tensor, "width rank"],
    ) -> Float[Tensor, "batch width"]:
        """`base` with its component in each variable's slot taken from the variable's target."""
        swapped = base
        for name, target in targets.items():
            columns = basis[:, self.slots[name]]
            if columns.shape[1] == self.width:
                return target
            swapped = moved(swapped, target - base, columns, columns)
        return swapped

    def project(
        self, activation: Float[Tensor, "batch width"], basis: Tensor, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """Coordinates along the variable's columns."""
        return activation @ basis[:, self.slots[variable]]


class LowRankRotation(OrthonormalSubspace):
    """As many orthonormal directions as the variables need, and no more.

    Args:
        width: units of the site, flattened.
        variables: who lives there; each has `rank` columns of its own.
        rank: dimensions per variable; None shares the width equally.
        generator: source of the random initial basis.

    Raises:
        ValueError: if the slots do not fit in `width`.
    """

    pyvene_kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {LOW_RANK: {}}

    def __init__(
        self, width: int, variables: tuple[str, ...], rank: Rank, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width = width
        self.slots = assign_slots(width, variables, rank)
        self.weight = orthonormal(width, max(slot.stop for slot in self.slots.values()), generator)
        self._keep_still()


class Rotation(OrthonormalSubspace):
    """A full rotation of the site; variables take its first columns, the rest is left alone.

    The same arguments and errors as `LowRankRotation`. The two learn the same subspaces; this one also
    stores the directions that no variable uses.
    """

    pyvene_kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"RotatedSpaceIntervention": {}}

    def __init__(
        self, width: int, variables: tuple[str, ...], rank: int | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width = width
        self.slots = assign_slots(width, variables, rank)
        self.weight = orthonormal(width, width, generator)
        self._keep_still()


def moved(
    start: Float[Tensor, "batch width"],
    change: Float[Tensor, "batch width"],
    read: Float[Tensor, "width rank"],
    write: Float[Tensor, "width rank"],
) -> Float[Tensor, "batch width"]:
    """`start + change @ read @ write.T`, in the order that costs less."""
    width, rank = read.shape
    if 2 * rank < width or len(start) < width:
        return torch.addmm(start, change @ read, write.mT)
    return torch.addmm(start, change, read @ write.mT)  # one product with a small projector beats two


def orthonormal(rows: int, columns: int, generator: torch.Generator) -> nn.Parameter:
    """Random orthonormal columns: a weight of unit columns turns at the optimiser's learning rate."""
    return nn.Parameter(torch.linalg.qr(torch.randn(rows, columns, generator=generator)).Q)


def pyvene_rotation(basis: Float[Tensor, "width rank"]) -> dict[str, Tensor]:
    """The state of pyvene's rotation with these columns: torch's orthogonal parametrisation of them."""
    layer = _parametrised(tuple(basis.shape))
    layer.weight = basis.detach()
    return {f"rotate_layer.{name}": tensor.detach() for name, tensor in layer.state_dict().items()}


@torch.no_grad()
def basis_of_pyvene(state: Mapping[str, Tensor]) -> Float[Tensor, "width rank"]:
    """The columns of a rotation that pyvene has saved."""
    prefix = "rotate_layer."
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    layer = _parametrised(tuple(own["parametrizations.weight.original"].shape))
    layer.load_state_dict(own)
    return torch.as_tensor(layer.weight).clone()


def _parametrised(shape: tuple[int, ...]) -> nn.Module:
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.eye(*shape))
    return nn.utils.parametrizations.orthogonal(layer)
