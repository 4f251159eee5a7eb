"""The report of a run: IIA per set of variables with its baselines, or an ablation's effects."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.intervention import Intervention
from iit_lab.metrics.iia import InterchangeAccuracy
from iit_lab.models.base import StagedModel
from iit_lab.training import processes
from iit_lab.training.batches import EvaluationBatches
from iit_lab.training.cache import Activations, Afresh

INTERCHANGE = ("iia", "iia_changed", "iia_unchanged", "iia_noop", "iia_full_swap")
ABLATION = ("effect", "ablated_accuracy")


@dataclass(frozen=True)
class Evaluation:
    """What was measured on one data set.

    Args:
        metrics: fractions, such as `iia/left_equality`; `iia` alone is the mean over sets.
        predictions: per set, (labels, predicted classes) of every row, for precision and recall.
    """

    metrics: dict[str, float]
    predictions: dict[str, tuple[Int[Tensor, " rows"], Int[Tensor, " rows"]]]


@torch.no_grad()
def evaluate(
    model: StagedModel,
    intervention: Intervention | None,
    groups: Sequence[InterchangeBatch],
    batch_size: int,
    device: torch.device,
    activations: Activations | None = None,
) -> Evaluation:
    """Run every pair, without training.

    Args:
        model: the network; it and the intervention are moved to `device` and evaluated in eval mode.
        intervention: None measures behaviour alone.
        groups: test data, one group per set of variables.
        batch_size: rows at once.
        device: where to run.
        activations: of the network's inputs, where they are kept; pairs that they do not know are run.
    """
    model.to(device).eval()
    if intervention is None:
        return _measure(model, None, groups, batch_size, device, activations)
    training = intervention.training
    try:
        intervention.to(device).eval()
        return _measure(model, intervention, groups, batch_size, device, activations)
    finally:
        intervention.train(training)


def _measure(
    model: StagedModel,
    intervention: Intervention | None,
    groups: Sequence[InterchangeBatch],
    batch_size: int,
    device: torch.device,
    activations: Activations | None,
) -> Evaluation:
    metrics: dict[str, float] = {}
    predictions = {}
    accuracies = []
    for group in groups:
        metric = InterchangeAccuracy().to(device)
        answers = []
        known = activations.indexed(group) if activations and activations.model is model else None
        kept = activations if known is not None and intervention is not None and group.variables else None
        batches = EvaluationBatches([known if kept and known else group], batch_size)
        for i, batch in enumerate(batches):
            if not len(batch):
                continue
            batch = batch.to(device)
            if intervention is None or not batch.variables:
                base = counterfactual = model(batch.base)
                swapped = []
            else:
                run = kept or Afresh(model)
                outputs = run.interchange(intervention, batch)
                base, counterfactual = outputs.base, outputs.counterfactual
                assert base is not None and counterfactual is not None
                causal = intervention.write.counterfactual
                swapped = run.full_swap(intervention, batch, (id(group), i)) if causal else []
            metric.update(base, counterfactual, batch.base_label, batch.counterfactual_label, swapped)
            answers.append(counterfactual.argmax(-1).cpu())
        computed = metric.compute()
        accuracies.append(computed["accuracy"])
        causal = intervention is None or intervention.write.counterfactual
        label = group.counterfactual_label if causal else group.base_label
        predictions[group.name or "behaviour"] = (label, _in_order(answers, batches.rows(len(group))))
        if intervention is not None and group.variables:
            names = INTERCHANGE if causal else ABLATION
            metrics |= {f"{name}/{group.name}": computed[name] for name in names if name in computed}
    for name in (*INTERCHANGE, *ABLATION):
        values = [value for key, value in metrics.items() if key.startswith(f"{name}/")]
        if values:
            metrics[name] = sum(values) / len(values)
    if intervention is not None:
        metrics |= {f"size/{name}": share for name, share in intervention.sizes().items()}
    metrics["accuracy"] = sum(accuracies) / len(accuracies)
    return Evaluation(metrics, predictions)


def _in_order(answers: list[Int[Tensor, " _"]], rows: list[slice]) -> Int[Tensor, " rows"]:
    """Everybody's answers, in the order of the data."""
    index = [torch.arange(part.stop)[part] for part in rows]
    mine = (torch.cat(index), torch.cat([torch.empty(0, dtype=torch.long), *answers]))
    if processes.world() == 1:
        return mine[1]
    everything = processes.gather(mine)
    where, found = (torch.cat([pair[i] for pair in everything]) for i in range(2))
    return found[where.argsort()]
