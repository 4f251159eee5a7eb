"""Running a network under an intervention, with nothing computed twice.

Sources run only as far as their deepest site. The base runs once to the first stage that an edit touches;
from there the intervened run, and the base's own where it is wanted, go on together.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch, Outputs
from iit_lab.interventions.intervention import Intervention, chain, source_of
from iit_lab.models.base import Activation, Edit, Point, StagedModel
from iit_lab.sites import Site


@dataclass(frozen=True)
class Prefix:
    """What is known of a batch before the first edit; of a frozen network it may be kept.

    Args:
        stage: the first stage still to run.
        base: that stage's input on the base.
        sources: sites' activations on the write's inputs, by (index of the input, site).
    """

    stage: int
    base: Activation
    sources: Mapping[tuple[int, Site], Float[Tensor, "batch width"]]


def prefix(
    model: StagedModel, intervention: Intervention, batch: InterchangeBatch, *, source_grad: bool = True
) -> Prefix:
    """Run sources to their sites and the base to the first edit.

    Args:
        model: the network.
        intervention: says where.
        batch: bases and sources.
        source_grad: whether gradients flow through the source runs.

    Raises:
        ValueError: if a variable has no source.
    """
    places = intervention.touched(batch.variables)
    entry = places[0].point
    inputs = intervention.write.inputs(batch)
    if intervention.write.counterfactual and len(inputs) not in (1, len(batch.variables)):
        raise ValueError(
            f"sources: {len(inputs)} for {batch.name}; an interchange needs one for each, or one for all"
        )
    wanted = [
        (source_of(batch, name, intervention.write), place.site)
        for place in places
        for name in batch.variables
        if len(inputs) and name in place.variables
    ]
    together = wanted and not entry.component and places[-1].point == entry  # so all places are there
    sources: dict[tuple[int, Site], Tensor] = {}
    with nullcontext() if source_grad else torch.no_grad():
        if together:
            reached = model.run(inputs.flatten(0, 1), stop=entry.stage).chunk(len(inputs))
            sources = {(i, site): model.read(reached[i], site) for i, site in wanted}
        else:
            for i in {i for i, _ in wanted}:
                collected = model.collect(inputs[i], dict.fromkeys(site for j, site in wanted if j == i))
                sources.update({(i, site): activation for site, activation in collected.items()})
    return Prefix(entry.stage, model.run(batch.base, stop=entry.stage), sources)


def finish(
    model: StagedModel,
    intervention: Intervention,
    batch: InterchangeBatch,
    before: Prefix,
    *,
    want_base: bool = False,
) -> Outputs:
    """Run the rest of the network with the intervention in place.

    Args:
        model: the network.
        intervention: what is written where.
        batch: which variables, in which rows.
        before: what `prefix` returned.
        want_base: whether the logits without intervention are needed too.
    """
    edits = intervention.edits(model, batch, before.sources)
    entry = edits.pop(Point(before.stage), None)
    intervened = before.base if entry is None else entry(before.base)
    if want_base and not edits:
        logits = model.run(torch.cat([before.base, intervened]), start=before.stage)
        base, counterfactual = logits.chunk(2)
        return Outputs(base, counterfactual)
    base = model.run(before.base, start=before.stage) if want_base else None
    return Outputs(base, model.run(intervened, edits, start=before.stage))


def interchange(
    model: StagedModel,
    intervention: Intervention,
    batch: InterchangeBatch,
    *,
    want_base: bool = False,
    source_grad: bool = True,
) -> Outputs:
    """Logits under the intervention, and without it where `want_base`; without variables only the latter."""
    if not batch.variables:
        return Outputs(model.run(batch.base), None)
    before = prefix(model, intervention, batch, source_grad=source_grad)
    return finish(model, intervention, batch, before, want_base=want_base)


def whole_sites(intervention: Intervention, variables: Sequence[str]) -> list[Site]:
    """The places of some variables with all their units, each once."""
    return list(dict.fromkeys(place.site.whole for place in intervention.touched(variables)))


def full_swap(
    model: StagedModel, intervention: Intervention, batch: InterchangeBatch
) -> list[Float[Tensor, "batch classes"]]:
    """Logits with the whole sites of all the batch's variables taken from one source, for each source."""
    sites = whole_sites(intervention, batch.variables)
    return [replace_sites(model, model.collect(source, sites), batch.base) for source in batch.sources]


def replace_sites(
    model: StagedModel, values: Mapping[Site, Float[Tensor, "batch width"]], base: Activation, start: int = 0
) -> Float[Tensor, "batch classes"]:
    """Logits with the activations of whole sites replaced.

    Args:
        model: the network.
        values: what to put there.
        base: the input of stage `start`.
        start: the first stage to run.
    """
    edits: dict[Point, list[Edit]] = {}
    for site, value in values.items():
        point = model.point(site.layer, site.component)
        edits.setdefault(point, []).append(partial(model.write, site=site, values=value))
    return model.run(base, {point: chain(several) for point, several in edits.items()}, start=start)
