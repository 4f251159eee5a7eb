"""Boundless DAS: a rotation, and how many of its columns each variable takes.

Wu et al. 2023, "Interpretability at Scale: Identifying Causal Mechanisms in Alpaca", section 3.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from iit_lab.subspaces.annealed import Annealed
from iit_lab.subspaces.base import Rank, assign_slots, refuse_rank
from iit_lab.subspaces.rotation import basis_of_pyvene, moved, orthonormal, pyvene_rotation


class Bounded(NamedTuple):
    """Orthonormal columns, and how much of each a variable takes; a row per variable."""

    columns: Float[Tensor, "width width"]
    masks: Float[Tensor, "variables slot"]


class BoundlessRotation(Annealed):
    r"""A full rotation of the site, with a learned boundary in each variable's slot.

    Variables share the width equally, $d$ columns $Q_v$ each, of which $v$ takes the first $b_v d$, softly:

    $$\mathrm{swap}(b, s) = b + \sum_v Q_v \,\mathrm{diag}(m_v)\, Q_v^\top (s_v - b), \qquad
    m_{vi} = \sigma(i / T)\,\sigma((b_v d - i) / T), \quad i = 0 \ldots d - 1.$$

    Without a loss for `size` nothing keeps the boundary small (`objective=das_sparse`). As in the paper and
    in pyvene, column 0 is never more than half taken.

    The boundary must move faster than the rotation (the paper's rates: 1e-2 and 1e-3). It is stored divided
    by `boundary_speed`: to Adam, whose steps do not depend on the gradient's scale, that is a rate so many
    times higher, exactly.

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: must be None, it is what is learned.
        generator: source of the random initial basis.
        temperature: of the masks, at the start and the end of training.
        until: share of training after which the temperature stays.
        boundary: share of its slot that a variable starts with.
        boundary_speed: how much faster than the rotation the boundary moves.

    Raises:
        ValueError: for a rank, more variables than units, or a boundary outside of [.001, 1].
    """

    LOWEST = 1e-3
    pyvene_kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"BoundlessRotatedSpaceIntervention": {}}

    def __init__(
        self,
        width: int,
        variables: tuple[str, ...],
        rank: Rank,
        generator: torch.Generator,
        temperature: Sequence[float] = (50.0, 0.1),
        until: float = 1.0,
        boundary: float = 0.5,
        boundary_speed: float = 10.0,
    ) -> None:
        super().__init__(temperature, until)
        refuse_rank(rank, "BoundlessRotation")
        if not self.LOWEST <= boundary <= 1:
            raise ValueError(f"boundary={boundary}: a share of the slot, {self.LOWEST} to 1")
        if boundary_speed <= 0:
            raise ValueError(f"boundary_speed={boundary_speed}: must be above 0")
        self.width, self.boundary_speed = width, boundary_speed
        self.slots = assign_slots(width, variables, None)
        self.depth = width // len(variables)
        self.weight = orthonormal(width, width, generator)
        self.raw_boundaries = nn.Parameter(torch.full((len(variables),), boundary / boundary_speed))
        self.register_buffer("index", torch.arange(float(self.depth)), persistent=False)

    @torch.no_grad()
    def to_pyvene(self) -> tuple[str, dict[str, Tensor]]:
        """The same rotation, boundary and temperature; of one variable, pyvene's has no more."""
        if len(self.slots) > 1:
            raise ValueError(f"variables={list(self.slots)}: pyvene's boundless rotation has one boundary")
        state = {
            "intervention_boundaries": self.boundaries(),
            "temperature": self.get_buffer("temperature"),
            "intervention_population": torch.arange(self.width),
        }
        return "BoundlessRotatedSpaceIntervention", state | pyvene_rotation(torch.linalg.qr(self.weight).Q)

    @torch.no_grad()
    def from_pyvene(self, state: Mapping[str, Tensor]) -> None:
        """Take over rotation, boundary and temperature."""
        self.weight.copy_(basis_of_pyvene(state))
        self.raw_boundaries.copy_(
            state["intervention_boundaries"].clamp(self.LOWEST, 1) / self.boundary_speed
        )
        self.get_buffer("temperature").copy_(state["temperature"])

    @torch.no_grad()
    def anneal(self, progress: float) -> None:
        """Set the temperature; bring boundaries that have left their range back to its end."""
        super().anneal(progress)
        self.raw_boundaries.clamp_(self.LOWEST / self.boundary_speed, 1 / self.boundary_speed)

    def boundaries(self) -> Float[Tensor, " variables"]:
        """The share of its slot that each variable takes up."""
        found = self.raw_boundaries * self.boundary_speed
        return found + (found.clamp(self.LOWEST, 1.0) - found).detach()  # the gradient passes at either end

    def basis(self) -> Bounded:
        """Columns by thin QR, and the masks."""
        temperature, index = self.get_buffer("temperature"), self.get_buffer("index")
        ends = self.boundaries()[:, None] * self.depth
        masks = torch.sigmoid(index / temperature) * torch.sigmoid((ends - index) / temperature)
        return Bounded(torch.linalg.qr(self.weight).Q, masks)

    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Bounded,
    ) -> Float[Tensor, "batch width"]:
        """`base`, moved along each variable's columns as far as its mask says."""
        swapped = base
        for name, mask in zip(self.slots, basis.masks, strict=True):
            if name in targets:
                columns = basis.columns[:, self.slots[name]]
                swapped = moved(swapped, targets[name] - base, columns * mask, columns)
        return swapped

    def project(
        self, activation: Float[Tensor, "batch width"], basis: Bounded, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """Coordinates along the variable's columns, each as much as it is taken."""
        mask = basis.masks[list(self.slots).index(variable)]
        return activation @ basis.columns[:, self.slots[variable]] * mask

    def size(self, variable: str) -> Float[Tensor, ""]:
        """The boundary, of the whole site's directions."""
        return self.boundaries()[list(self.slots).index(variable)] * (self.depth / self.width)

    @torch.no_grad()
    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """The columns before the boundary."""
        slot = self.slots[variable]
        end = self.boundaries()[list(self.slots).index(variable)] * self.depth
        taken = int((self.get_buffer("index") < end).sum())
        return torch.linalg.qr(self.weight).Q[:, slot.start : slot.start + taken]
