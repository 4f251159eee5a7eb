"""An intervention on a network: a write x a subspace at each aligned site."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.base import Write
from iit_lab.models.base import Activation, Edit, Point, StagedModel
from iit_lab.sites import Site
from iit_lab.subspaces.base import Subspace


@dataclass(frozen=True)
class Place:
    """A site, where it is, and who lives there."""

    index: int
    site: Site
    point: Point
    variables: tuple[str, ...]


class Intervention(nn.Module):
    """Writes into the subspaces of an alignment's sites. Trainable parameters are the subspaces' own.

    Variables aligned with the same site share one subspace, each with a slot of its own; their order in the
    alignment is the order of the slots.

    Args:
        alignment: variable -> sites.
        model: the network; tells widths and points, and is not kept.
        write: what is written.
        subspace: builds a subspace from `width`, `variables`, `rank` and `generator`.
        rank: dimensions per variable; None leaves the choice to the subspace.
        generator: source of initial bases.
        ranks: of a grid's cells, of which each is an intervention with one rank; refused here.

    Raises:
        ValueError: if sites of different variables overlap without being the same, or a rank does not fit.
    """

    def __init__(
        self,
        alignment: Alignment,
        model: StagedModel,
        write: Write,
        subspace: Callable[..., Subspace],
        generator: torch.Generator,
        rank: int | None = None,
        ranks: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if ranks is not None:
            raise ValueError(f"ranks={list(ranks)}: only a grid has several; use alignment=grid, or rank")
        alignment = alignment.checked(model)
        self.alignment, self.write, self.rank = alignment, write, rank
        sites = list(dict.fromkeys(site for places in alignment.values() for site in places))
        refuse_overlaps(model, sites, alignment)
        self.places: tuple[Place, ...] = tuple(
            Place(
                i,
                site,
                model.point(site.layer, site.component),
                tuple(name for name, places in alignment.items() if site in places),
            )
            for i, site in enumerate(sites)
        )
        self._touched: dict[tuple[str, ...], list[Place]] = {}
        widths = [model.width(place.site) for place in self.places]
        self._at = tuple(
            subspace(width=width, variables=place.variables, rank=rank, generator=generator)
            for width, place in zip(widths, self.places, strict=True)
        )
        self.subspaces = nn.ModuleList(self._at)
        for i, width in enumerate(widths):
            self.register_buffer(f"mean_{i}", torch.zeros(width), persistent=write.needs_mean)
        if not alignment.trainable:
            self.requires_grad_(False)

    @property
    def trainable(self) -> bool:
        """Whether there is anything to train."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def subspace(self, place: Place) -> Subspace:
        """The subspace at a place."""
        return self._at[place.index]

    def touched(self, variables: Sequence[str]) -> list[Place]:
        """The places where any of `variables` lives, in the network's order.

        Raises:
            ValueError: if one of them is not aligned.
        """
        key = tuple(variables)
        if key not in self._touched:
            missing = [name for name in key if name not in self.alignment]
            if missing:
                raise ValueError(f"variables={missing}: the alignment has {list(self.alignment)}")
            places = [place for place in self.places if set(place.variables) & set(variables)]
            self._touched[key] = sorted(places, key=lambda place: (place.point, place.index))
        return self._touched[key]

    @property
    def anneals(self) -> bool:
        """Whether a subspace changes as training goes on."""
        return any(subspace.anneals for subspace in self._at)

    def anneal(self, progress: float) -> None:
        """Tell the subspaces which share of training is done, from 0 to 1."""
        for subspace in self._at:
            if subspace.anneals:
                subspace.anneal(progress)

    def size(self) -> Float[Tensor, ""]:
        """Share of their sites that the variables take up, where it is learned; averaged over them."""
        found = [
            size
            for place in self.places
            for name in place.variables
            if (size := self.subspace(place).size(name)) is not None
        ]
        return torch.stack(found).mean() if found else self.get_buffer("mean_0").new_zeros(())

    @torch.no_grad()
    def sizes(self) -> dict[str, float]:
        """The same per variable, in whole units or directions; nothing for a variable whose size is fixed."""
        found: dict[str, list[float]] = {}
        for place in self.places:
            subspace = self.subspace(place)
            for name in place.variables:
                if subspace.size(name) is not None:
                    share = subspace.directions(name).shape[1] / subspace.width
                    found.setdefault(name, []).append(share)
        return {name: sum(values) / len(values) for name, values in found.items()}

    @torch.no_grad()
    def calibrate(self, model: StagedModel, inputs: Tensor, batch_size: int = 8192) -> None:
        """Take from the sites' activations on `inputs` what the write and the subspaces need of them.

        Args:
            model: in eval mode.
            inputs: of the network.
            batch_size: inputs at once.
        """
        wanted = [place for place in self.places if self.write.needs_mean or self.subspace(place).needs_data]
        if not wanted:
            return
        sites = [place.site for place in wanted]
        device = next((parameter.device for parameter in model.parameters()), inputs.device)
        parts = [model.collect(part.to(device), sites) for part in inputs.split(batch_size)]
        for place in wanted:
            mean = self.get_buffer(f"mean_{place.index}")
            activations = torch.cat([part[place.site] for part in parts]).to(mean.device)
            if self.write.needs_mean:
                mean.copy_(activations.mean(0))
            if self.subspace(place).needs_data:
                self.subspace(place).fit(activations)

    def edits(
        self,
        model: StagedModel,
        batch: InterchangeBatch,
        sources: Mapping[tuple[int, Site], Float[Tensor, "batch width"]],
    ) -> dict[Point, Edit]:
        """What to write where, for one batch; every basis is evaluated once.

        Args:
            model: reads and writes sites.
            batch: says which variables, and in which rows.
            sources: activations on the write's inputs, by (index of the input, site).
        """
        edits: dict[Point, list[Edit]] = {}
        for place in self.touched(batch.variables):
            subspace = self.subspace(place)
            swap = partial(subspace.swap, basis=subspace.basis())
            edits.setdefault(place.point, []).append(partial(self._edit, model, batch, sources, place, swap))
        return {point: chain(several) for point, several in edits.items()}

    def _edit(
        self,
        model: StagedModel,
        batch: InterchangeBatch,
        sources: Mapping[tuple[int, Site], Tensor],
        place: Place,
        swap: Callable[..., Tensor],
        activation: Activation,
    ) -> Activation:
        base = model.read(activation, place.site)
        mean = self.get_buffer(f"mean_{place.index}") if self.write.needs_mean else None
        targets = {}
        for i, name in enumerate(batch.variables):
            if name not in place.variables:
                continue
            source = sources.get((source_of(batch, name, self.write), place.site))
            target = self.write.target(base, source, mean)
            if batch.intervened is not None:
                target = torch.where(batch.intervened[:, i, None], target, base)
            targets[name] = target
        return model.write(activation, place.site, swap(base, targets))


def source_of(batch: InterchangeBatch, variable: str, write: Write) -> int:
    """Which of the write's inputs belongs to a variable: an ablation has one for all."""
    return batch.source_index(variable) if write.counterfactual else 0


def chain(edits: Sequence[Edit]) -> Edit:
    """Several edits as one."""
    return edits[0] if len(edits) == 1 else lambda activation: reduce(_apply, edits, activation)


def _apply(activation: Activation, edit: Edit) -> Activation:
    return edit(activation)


def refuse_overlaps(model: StagedModel, sites: Sequence[Site], alignment: Alignment) -> None:
    """Two sites may be the same or disjoint, nothing between.

    Raises:
        ValueError: naming the variables and the units that both have.
    """
    claimed: dict[tuple[Point, int], Site] = {}
    for site in sites:
        index = model.flat_index(site)
        units = range(model.width(site)) if index is None else index.tolist()
        point = model.point(site.layer, site.component)
        for unit in units:
            other = claimed.setdefault((point, unit), site)
            if other != site:
                names = [name for name, places in alignment.items() if site in places or other in places]
                raise ValueError(
                    f"variables: {' and '.join(names)} overlap, {site} and {other} share unit {unit}; "
                    "make them disjoint, or give both the same site"
                )
