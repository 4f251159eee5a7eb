"""Members of a population, and what one of them computes as a function of its weights and projections."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import Activation, Edit, Point, StagedModel
from iit_lab.sites import Site

Projections = list[Float[Tensor, "members variables width ..."]]


@dataclass(frozen=True)
class Member:
    """One network of a population.

    Args:
        model: with its initial weights; it gets the trained ones.
        intervention: where its variables live; None for behaviour alone.
        stream: index of the batches that it sees.
    """

    model: StagedModel
    intervention: Intervention | None
    stream: int = 0


class Interchange(nn.Module):
    """A network with writes at all points where any member has one, as one function for `vmap`."""

    def __init__(self, model: StagedModel, points: Sequence[Point], source_grad: bool) -> None:
        super().__init__()
        self.model, self.points, self.source_grad = model, tuple(points), source_grad

    def forward(
        self,
        base: Shaped[Tensor, "batch *input"],
        sources: Shaped[Tensor, "variables batch *input"],
        active: Bool[Tensor, "variables batch"],
        projections: Sequence[Tensor],
    ) -> tuple[Tensor, Tensor | None]:
        """Logits without and with the interchange."""
        if not self.points:
            return self.model.run(base), None
        kept = dict[Point, Tensor]()
        end = max(point.stage + bool(point.component) for point in self.points)
        keep = {point: _keeper(kept, point) for point in self.points}
        runs = 1 + len(sources)
        ran = self.model.run(torch.cat([base, *sources]), keep, stop=end)
        parts = {point: own.chunk(runs) for point, own in kept.items()}  # of the base, then of each source
        edits = {
            point: _writer(parts[point][1:], active, projection, self.source_grad)
            for point, projection in zip(self.points, projections, strict=True)
        }
        entry, last = self.points[0], self.points[-1]
        begin, start = (base, 0) if entry.component else (parts[entry][0], entry.stage)
        reached = parts[last][0] if last == Point(end) else ran.chunk(runs)[0]
        intervened = self.model.run(begin, edits, start=start, stop=end)
        logits = self.model.run(torch.cat([reached, intervened]), start=end)
        first, second = logits.chunk(2)
        return first, second


def _keeper(kept: dict[Point, Tensor], point: Point) -> Edit:
    def keep(activation: Activation) -> Activation:
        kept[point] = activation
        return activation

    return keep


def _writer(
    sources: Sequence[Tensor], active: Bool[Tensor, "variables batch"], projection: Tensor, source_grad: bool
) -> Edit:
    """Each variable's part of the activation is taken from its source, in the rows that intervene in it."""

    def write(activation: Activation) -> Activation:
        flat = activation.flatten(1)
        changes = [
            ((source if source_grad else source.detach()).flatten(1) - flat) * active[i, :, None]
            for i, source in enumerate(sources)
        ]
        if projection.ndim == 3:  # one product for all variables
            return torch.addmm(flat, torch.cat(changes, dim=1), projection.flatten(0, 1)).view_as(activation)
        moved = flat
        for change, own in zip(changes, projection, strict=True):
            moved = moved + change * own
        return moved.view_as(activation)

    return write


def project(members: Sequence[Member]) -> tuple[tuple[str, ...], list[Point], Projections]:
    """Where the members' variables live, as orthogonal projections of whole activations.

    Args:
        members: with fixed subspaces.

    Returns:
        The variables of all members; points in the network's order; for each point a projection per member
        and variable, as its diagonal where no subspace of any member is rotated. It is 0 where a variable
        does not live.

    Raises:
        ValueError: for a subspace that is trained, or a write that is no interchange.
    """
    aligned = [member.intervention for member in members if member.intervention is not None]
    if any(each.trainable or not each.write.counterfactual for each in aligned):
        raise ValueError("members: a population is trained with interchanges in fixed subspaces")
    variables = tuple(dict.fromkeys(name for each in aligned for name in each.alignment))
    sizes = (len(members), len(variables))
    found: dict[Point, Tensor] = {}
    for i, member in enumerate(members):
        for place in member.intervention.places if member.intervention else ():
            model, site = member.model, place.site
            width = model.width(Site(site.layer, site.component))
            if place.point not in found:
                dtype = next(model.parameters()).dtype
                found[place.point] = torch.zeros(*sizes, width, width, dtype=dtype)
            index = model.flat_index(site)
            for name in place.variables:
                assert member.intervention is not None
                columns = member.intervention.subspace(place).directions(name).detach()
                whole = found[place.point].new_zeros(width, columns.shape[1])
                whole[slice(None) if index is None else index] = columns.to(whole.dtype)
                found[place.point][i, variables.index(name)] += whole @ whole.mT
    points = sorted(found)
    return variables, points, [_diagonal(found[point]) for point in points]


def _diagonal(matrices: Float[Tensor, "members variables width width"]) -> Tensor:
    diagonal = matrices.diagonal(dim1=-2, dim2=-1)
    return diagonal.clone() if torch.equal(torch.diag_embed(diagonal), matrices) else matrices
