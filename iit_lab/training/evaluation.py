"""The report of a run: IIA per set of variables with its baselines, or an ablation's effects."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import full_swap, interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.metrics.iia import InterchangeAccuracy
from iit_lab.models.base import StagedModel
from iit_lab.training import processes
from iit_lab.training.batches import EvaluationBatches

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
) -> Evaluation:
    """Run every pair, without training.

    Args:
        model: the network; it and the intervention are moved to `device`.
        intervention: None measures behaviour alone.
        groups: test data, one group per set of variables.
        batch_size: rows at once.
        device: where to run.
    """
    model.to(device).eval()
    metrics: dict[str, float] = {}
    predictions = {}
    accuracies = []
    for group in groups:
        metric = InterchangeAccuracy().to(device)
        answers = []
        batches = EvaluationBatches([group], batch_size)
        for batch in batches:
            if not len(batch):
                continue
            batch = batch.to(device)
            if intervention is None or not batch.variables:
                base = counterfactual = model(batch.base)
                swapped = []
            else:
                outputs = interchange(model, intervention.to(device), batch, want_base=True)
                base, counterfactual = outputs.base, outputs.counterfactual
                assert base is not None and counterfactual is not None
                swapped = full_swap(model, intervention, batch) if intervention.write.counterfactual else []
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
