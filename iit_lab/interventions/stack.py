"""Several interventions on the same batch, stacked into one pass through the rest of the network."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import Prefix
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import Activation, Edit, Point, StagedModel


def finish_stacked(
    model: StagedModel, interventions: Sequence[Intervention], batch: InterchangeBatch, before: Prefix
) -> list[Float[Tensor, "batch classes"]]:
    """Logits under each of the interventions; every one sees the batch as if it were alone.

    Args:
        model: the network.
        interventions: at the same sites.
        batch: which variables, in which rows.
        before: what `engine.prefix` returned for any of them.
    """
    edits = [intervention.edits(model, batch, before.sources) for intervention in interventions]
    entry = Point(before.stage)
    parts = [each[entry](before.base) if entry in each else before.base for each in edits]
    later = {point for each in edits for point in each} - {entry}
    together = {point: _each_its_own([each.get(point) for each in edits]) for point in later}
    return list(model.run(torch.cat(parts), together, start=before.stage).chunk(len(edits)))


def _each_its_own(edits: Sequence[Edit | None]) -> Edit:
    def edit(activation: Activation) -> Activation:
        parts = activation.chunk(len(edits))
        return torch.cat([own(part) if own else part for own, part in zip(edits, parts, strict=True)])

    return edit
