"""Activations of every input of a frozen network's data, computed once and shared by all that is aligned.

Bases and sources of many pairs are few distinct inputs: they are listed, pairs become indices into the list,
and one stage's input is kept for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch, Outputs
from iit_lab.interventions.engine import (
    Prefix,
    finish,
    full_swap,
    interchange,
    replace_sites,
    whole_sites,
)
from iit_lab.interventions.intervention import Intervention, source_of
from iit_lab.models.base import StagedModel
from iit_lab.sites import Site
from iit_lab.training.data import fingerprints

Groups = tuple[InterchangeBatch, ...]


class Activations:
    """What a frozen network computes of each distinct input, from one stage on.

    It moves forward: `reach` runs the stages from the one it is at, once per input.

    Args:
        model: frozen, in eval mode.
        groups: data whose inputs are listed.
        batch_size: inputs at once.
        device: where the activations are kept.
    """

    def __init__(
        self, model: StagedModel, groups: Sequence[InterchangeBatch], batch_size: int, device: torch.device
    ) -> None:
        self.model, self.batch_size, self.device = model, batch_size, device
        self.inputs, indexed = _index(groups)
        self._known = {id(group): (group, own) for group, own in zip(groups, indexed, strict=True)}
        self.stage = 0
        self.values: Tensor | None = self.inputs.to(device)
        self._sites: dict[Site, Tensor] = {}
        self._swaps: dict[tuple[tuple[int, int], tuple[Site, ...]], list[Tensor]] = {}

    def __len__(self) -> int:
        """Distinct inputs."""
        return len(self.inputs)

    def indexed(self, group: InterchangeBatch) -> InterchangeBatch | None:
        """A group with indices in place of inputs; None if it is not one of those that were listed."""
        found = self._known.get(id(group))
        return None if found is None else found[1]

    def bytes_at(self, stage: int) -> int:
        """What keeping a stage's input for every input takes, with the one it is computed from."""
        with torch.no_grad():
            row = self.model.run(self.inputs[:1].to(self.device), stop=stage)
        return 2 * len(self) * row.numel() * row.element_size()

    @torch.no_grad()
    def reach(self, stage: int) -> None:
        """Keep the input of `stage` from now on; it is computed again from the start if it lies behind."""
        if self.values is None or stage < self.stage:
            self.stage, self.values = 0, self.inputs.to(self.device)
        if stage > self.stage:
            parts = self.values.split(self.batch_size)
            self.values = torch.cat([self.model.run(part, start=self.stage, stop=stage) for part in parts])
            self.stage = stage
        self._sites.clear()
        self._swaps.clear()

    def forget(self, stage: int) -> None:
        """Keep nothing but the inputs: prefixes up to `stage` are computed anew for each batch."""
        self.stage, self.values = stage, None
        self._sites.clear()
        self._swaps.clear()

    @torch.no_grad()
    def prefix(self, intervention: Intervention, batch: InterchangeBatch) -> Prefix:
        """As `engine.prefix` of the inputs that an indexed batch names.

        Args:
            intervention: says which sites of the sources are read; none lies before `self.stage`.
            batch: with indices in place of inputs.
        """
        rows = intervention.write.inputs(batch)
        wanted = {
            (source_of(batch, name, intervention.write), place.site)
            for place in intervention.touched(batch.variables)
            for name in batch.variables
            if len(rows) and name in place.variables
        }
        if self.values is None:
            return self._computed(batch, rows, wanted)
        sources = {(i, site): self._site(site)[rows[i]] for i, site in wanted}
        return Prefix(self.stage, self.values[batch.base], sources)

    @torch.no_grad()
    def interchange(self, intervention: Intervention, batch: InterchangeBatch) -> Outputs:
        """Logits under an intervention and without, of an indexed batch."""
        return Outputs(self.logits[batch.base], self.counterfactual(intervention, batch))

    @torch.no_grad()
    def counterfactual(
        self, intervention: Intervention, batch: InterchangeBatch
    ) -> Float[Tensor, "batch classes"]:
        """Logits under an intervention, of an indexed batch."""
        logits = finish(self.model, intervention, batch, self.prefix(intervention, batch)).counterfactual
        assert logits is not None
        return logits

    def full_swap(
        self, intervention: Intervention, batch: InterchangeBatch, which: tuple[int, int]
    ) -> list[Float[Tensor, "batch classes"]]:
        """As `engine.full_swap`, of an indexed batch; the same for all cells of a layer, so computed once.

        Args:
            intervention: says where.
            batch: indexed.
            which: tells batches apart.
        """
        sites = tuple(whole_sites(intervention, batch.variables))
        if (which, sites) not in self._swaps:
            self._swaps[which, sites] = self._swap(sites, batch)
        return self._swaps[which, sites]

    @torch.no_grad()
    def _swap(self, sites: Sequence[Site], batch: InterchangeBatch) -> list[Float[Tensor, "batch classes"]]:
        if self.values is None:
            base = self._inputs(batch.base)
            sources = [self.model.collect(self._inputs(rows), sites) for rows in batch.sources]
            return [replace_sites(self.model, values, base) for values in sources]
        base = self.values[batch.base]
        sources = [{site: self._site(site)[rows] for site in sites} for rows in batch.sources]
        return [replace_sites(self.model, values, base, self.stage) for values in sources]

    @cached_property
    def logits(self) -> Float[Tensor, "inputs classes"]:
        """The network's answers without intervention."""
        parts = self.inputs.split(self.batch_size)
        with torch.no_grad():
            return torch.cat([self.model(part.to(self.device)) for part in parts])

    def _computed(self, batch: InterchangeBatch, rows: Tensor, wanted: set[tuple[int, Site]]) -> Prefix:
        sources = {}
        for i in {i for i, _ in wanted}:
            sites = [site for j, site in wanted if j == i]
            found = self.model.collect(self._inputs(rows[i]), sites)
            sources.update({(i, site): value for site, value in found.items()})
        return Prefix(self.stage, self.model.run(self._inputs(batch.base), stop=self.stage), sources)

    def _inputs(self, rows: Tensor) -> Tensor:
        return self.inputs[rows.cpu()].to(self.device)

    def _site(self, site: Site) -> Tensor:
        """A site's activation on every input."""
        if site not in self._sites:
            assert self.values is not None
            parts = [
                self.model.collect(part, [site], start=self.stage)[site]
                for part in self.values.split(self.batch_size)
            ]
            self._sites[site] = torch.cat(parts)
        return self._sites[site]


@dataclass(frozen=True)
class Afresh:
    """The same, with nothing kept: batches hold the inputs themselves.

    Args:
        model: in eval mode.
    """

    model: StagedModel

    def interchange(self, intervention: Intervention, batch: InterchangeBatch) -> Outputs:
        """Logits under an intervention and without."""
        return interchange(self.model, intervention, batch, want_base=True)

    def full_swap(
        self, intervention: Intervention, batch: InterchangeBatch, which: tuple[int, int]
    ) -> list[Float[Tensor, "batch classes"]]:
        """As `engine.full_swap`."""
        del which
        return full_swap(self.model, intervention, batch)


def _index(groups: Sequence[InterchangeBatch]) -> tuple[Shaped[Tensor, "inputs *input"], Groups]:
    """The distinct inputs, and the groups with indices into them."""
    rows = [part for group in groups for part in (group.base, *group.sources)]
    marks = torch.cat([fingerprints([part]) for part in rows])
    distinct, inverse = torch.unique(marks, return_inverse=True)
    some = torch.empty_like(distinct).scatter_(0, inverse, torch.arange(len(marks)))
    inputs = torch.cat(rows)[some]
    parts = inverse.split([len(part) for part in rows])
    if not all(torch.equal(inputs[index], part) for index, part in zip(parts, rows, strict=True)):
        raise RuntimeError("two different inputs have the same fingerprint")
    parts = iter(parts)
    indexed = []
    for group in groups:
        base = next(parts)
        sources = [next(parts) for _ in group.sources]
        stacked = torch.stack(sources) if sources else base.new_empty((0, len(base)))
        indexed.append(replace(group, base=base, sources=stacked))
    return inputs, tuple(indexed)
