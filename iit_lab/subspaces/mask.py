"""Masks over units: which of them belong to a variable is learned, unit by unit.

Soft ones are pyvene's SigmoidMaskIntervention; those that are rounded when they are used are desiderata-based
masking (DBM; Davies et al. 2023, "Discovering Variable Binding Circuitry with Desiderata", section 3).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from iit_lab.subspaces.annealed import Annealed
from iit_lab.subspaces.base import Rank, refuse_rank
from iit_lab.subspaces.rotation import basis_of_pyvene, moved, orthonormal, pyvene_rotation

HARD = 1e-12
"""A temperature at which masks are rounded."""


class Masked(NamedTuple):
    """How much of each unit or direction a variable takes, a row per variable; columns where rotated."""

    masks: Float[Tensor, "variables width"]
    columns: Float[Tensor, "width width"] | None


class SigmoidMask(Annealed):
    r"""A mask per variable over the site's units, or over the columns $Q$ of a learned rotation.

    $$\mathrm{swap}(b, s) = b + \sum_v Q \,\mathrm{diag}(m_v)\, Q^\top (s_v - b), \qquad
    m_{vi} = \frac{\exp(l_{vi} / T)}{1 + \sum_w \exp(l_{wi} / T)}.$$

    For one variable $m = \sigma(l / T)$. Several compete for each unit, with one another and with "nobody's":
    with a sigmoid each, two swaps could both claim a unit and add up to more than either source. All the
    variables of the site compete, whichever of them are intervened in.

    Without a loss for `size`, units that make no difference stay where they began (`objective=das_sparse`).

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: must be None, it is what is learned.
        generator: source of the random initial rotation.
        temperature: of the masks, at the start and the end of training.
        until: share of training after which the temperature stays.
        hard: outside of training mode, a unit belongs wholly to the variable with the largest positive logit,
            or to nobody; for one variable the mask is rounded.
        rotated: learn a rotation too, and mask its columns.
        logit: what all logits start with.

    Raises:
        ValueError: for a rank.
    """

    pyvene_kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "SigmoidMaskIntervention": {},
        "SigmoidMaskRotatedSpaceIntervention": {"rotated": True},
    }

    def __init__(
        self,
        width: int,
        variables: tuple[str, ...],
        rank: Rank,
        generator: torch.Generator,
        temperature: Sequence[float] = (1.0, 1e-3),
        until: float = 0.5,
        hard: bool = False,
        rotated: bool = False,
        logit: float = 0.0,
    ) -> None:
        super().__init__(temperature, until)
        refuse_rank(rank, "SigmoidMask")
        self.width, self.hard = width, hard
        self.slots = dict.fromkeys(variables, slice(0, width))
        self.logits = nn.Parameter(torch.full((len(variables), width), float(logit)))
        self.weight = orthonormal(width, width, generator) if rotated else None

    @torch.no_grad()
    def to_pyvene(self) -> tuple[str, dict[str, Tensor]]:
        """The same mask and temperature; of one variable. A hard one gets a temperature that makes it so."""
        if len(self.slots) > 1:
            raise ValueError(f"variables={list(self.slots)}: a mask of pyvene's belongs to one variable")
        temperature = self.get_buffer("temperature")
        state = {"temperature": torch.full_like(temperature, HARD) if self.hard else temperature}
        if self.weight is None:
            return "SigmoidMaskIntervention", {"mask": self.logits[0], **state}
        rotation = pyvene_rotation(torch.linalg.qr(self.weight).Q)
        return "SigmoidMaskRotatedSpaceIntervention", {"masks": self.logits[0], **state, **rotation}

    @torch.no_grad()
    def from_pyvene(self, state: Mapping[str, Tensor]) -> None:
        """Take over mask, temperature and rotation."""
        self.logits[0].copy_(state["mask" if self.weight is None else "masks"])
        self.get_buffer("temperature").copy_(state["temperature"])
        if self.weight is not None:
            self.weight.copy_(basis_of_pyvene(state))

    def masks(self) -> Float[Tensor, "variables width"]:
        """How much of each unit every variable takes."""
        if self.hard and not self.training:
            return self.taken().to(self.logits.dtype)
        logits = self.logits / self.get_buffer("temperature")
        nobody = torch.zeros_like(logits[:1])
        return torch.cat([nobody, logits]).softmax(0)[1:]

    def taken(self) -> Bool[Tensor, "variables width"]:
        """Whether a variable has the largest logit, and a positive one; a tie is nobody's."""
        ranked = torch.cat([torch.zeros_like(self.logits[:1]), self.logits]).sort(0, descending=True).values
        return (self.logits == ranked[0]) & (ranked[0] > ranked[1])

    def basis(self) -> Masked:
        """The masks; with columns by thin QR where rotated."""
        return Masked(self.masks(), None if self.weight is None else torch.linalg.qr(self.weight).Q)

    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Masked,
    ) -> Float[Tensor, "batch width"]:
        """`base`, with as much of each unit from the variable's target as its mask says."""
        swapped = base
        for name, mask in zip(self.slots, basis.masks, strict=True):
            if name not in targets:
                continue
            change = targets[name] - base
            if basis.columns is None:
                swapped = torch.addcmul(swapped, change, mask)
            else:
                swapped = moved(swapped, change, basis.columns * mask, basis.columns)
        return swapped

    def project(
        self, activation: Float[Tensor, "batch width"], basis: Masked, variable: str
    ) -> Float[Tensor, "batch width"]:
        """Units or coordinates, each as much as the variable takes of it."""
        values = activation if basis.columns is None else activation @ basis.columns
        return values * basis.masks[list(self.slots).index(variable)]

    def size(self, variable: str) -> Float[Tensor, ""]:
        """The mask's mean: its L1 norm divided by the width."""
        return self.masks()[list(self.slots).index(variable)].mean()

    @torch.no_grad()
    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """The units or columns that are taken rather than not."""
        taken = self.taken()[list(self.slots).index(variable)]
        columns = torch.eye(self.width).to(taken.device) if self.weight is None else self.basis().columns
        assert columns is not None
        return columns[:, taken]
