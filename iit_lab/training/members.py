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
    """A network with writes at all sites where any member has one, as one function for `vmap`."""

    def __init__(self, model: StagedModel, sites: Sequence[Site], source_grad: bool) -> None:
        super().__init__()
        self.model, self.source_grad = model, source_grad
        self.sites = [(model.point(site.layer, site.component), site) for site in sites]
        self.points = sorted({point for point, _ in self.sites})

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
        begin, last = Point(self.points[0].stage), self.points[-1]
        keep = {point: _keeper(kept, point) for point in (begin, *self.points)}
        runs = 1 + len(sources)
        ran = self.model.run(torch.cat([base, *sources]), keep, stop=end)
        parts = {point: own.chunk(runs) for point, own in kept.items()}  # of the base, then of each source
        writes: dict[Point, list[Edit]] = {point: [] for point in self.points}
        for (point, site), projection in zip(self.sites, projections, strict=True):
            sourced = [self.model.read(part, site) for part in parts[point][1:]]
            if not self.source_grad:
                sourced = [each.detach() for each in sourced]
            writes[point].append(_writer(self.model, site, sourced, active, projection))
        edits = {point: _all(own) for point, own in writes.items()}
        reached = parts[last][0] if last == Point(end) else ran.chunk(runs)[0]
        intervened = self.model.run(parts[begin][0], edits, start=begin.stage, stop=end)
        logits = self.model.run(torch.cat([reached, intervened]), start=end)
        first, second = logits.chunk(2)
        return first, second


def _keeper(kept: dict[Point, Tensor], point: Point) -> Edit:
    def keep(activation: Activation) -> Activation:
        kept[point] = activation
        return activation

    return keep


def _writer(
    model: StagedModel,
    site: Site,
    sources: Sequence[Float[Tensor, "batch width"]],
    active: Bool[Tensor, "variables batch"],
    projection: Tensor,
) -> Edit:
    """Each variable's part of a site is taken from its source, in the rows that intervene in it."""

    def write(activation: Activation) -> Activation:
        base = model.read(activation, site)
        changes = [(source - base) * active[i, :, None] for i, source in enumerate(sources)]
        if projection.ndim == 3:  # one product for all variables
            moved = torch.addmm(base, torch.cat(changes, dim=1), projection.flatten(0, 1))
        else:
            moved = base
            for change, own in zip(changes, projection, strict=True):
                moved = moved + change * own
        return model.write(activation, site, moved)

    return write


def _all(edits: Sequence[Edit]) -> Edit:
    """One edit after another; they write different positions."""

    def edit(activation: Activation) -> Activation:
        for each in edits:
            activation = each(activation)
        return activation

    return edit


def project(members: Sequence[Member]) -> tuple[tuple[str, ...], list[Site], Projections]:
    """Where the members' variables live, as orthogonal projections of whole sites.

    Args:
        members: with fixed subspaces.

    Returns:
        The variables of all members; sites without units or heads; for each of them a projection per member
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
    found: dict[Site, Tensor] = {}
    for i, member in enumerate(members):
        for place in member.intervention.places if member.intervention else ():
            model, site = member.model, place.site
            width, whole_site = model.width(site.whole), site.whole
            if whole_site not in found:
                dtype = next(model.parameters()).dtype
                found[whole_site] = torch.zeros(*sizes, width, width, dtype=dtype)
            index = _within(model, site)
            for name in place.variables:
                assert member.intervention is not None
                columns = member.intervention.subspace(place).directions(name).detach()
                whole = found[whole_site].new_zeros(width, columns.shape[1])
                whole[index] = columns.to(whole.dtype)
                found[whole_site][i, variables.index(name)] += whole @ whole.mT
    return variables, list(found), [_diagonal(each) for each in found.values()]


def _within(model: StagedModel, site: Site) -> list[int] | slice:
    """Which entries of its whole site a site has."""
    own, whole = model.flat_index(site), model.flat_index(site.whole)
    if own is None or whole is None:
        return slice(None) if own is None else own.tolist()
    order = {entry: i for i, entry in enumerate(whole.tolist())}
    return [order[entry] for entry in own.tolist()]


def _diagonal(matrices: Float[Tensor, "members variables width width"]) -> Tensor:
    diagonal = matrices.diagonal(dim1=-2, dim2=-1)
    return diagonal.clone() if torch.equal(torch.diag_embed(diagonal), matrices) else matrices
