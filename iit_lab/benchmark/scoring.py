"""How well claims hold: interchange intervention accuracy and the report that the II-Benchmark prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
from sklearn.metrics import precision_recall_fscore_support

from iit_lab.benchmark.claims import Claims, intervention_at
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.base import StagedModel
from iit_lab.training.evaluation import evaluate


@dataclass(frozen=True)
class ClassReport:
    """Of one class of counterfactual labels."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class SetScore:
    """One network, one set of variables.

    Args:
        iia: intervened output equals the counterfactual label.
        noop: the same without intervention.
        full_swap: the same with the whole layers swapped.
        classes: by label.
    """

    iia: float
    noop: float
    full_swap: float
    classes: Mapping[int, ClassReport]

    @property
    def above(self) -> float:
        """IIA above the better of the two baselines."""
        return self.iia - max(self.noop, self.full_swap)


@dataclass(frozen=True)
class NetworkScore:
    """One network.

    Args:
        accuracy: on bases, without intervention.
        sets: by the names of the variables, such as `left_equality+right_equality`.
    """

    accuracy: float
    sets: Mapping[str, SetScore]


def score(
    model: StagedModel,
    claims: Claims,
    groups: Sequence[InterchangeBatch],
    batch_size: int,
    device: torch.device,
) -> NetworkScore:
    """Try claims out.

    Args:
        model: the network.
        claims: about where its variables live.
        groups: test pairs, one group per set of variables; sets with a variable that is not claimed are left
            out.
        batch_size: rows at once.
        device: where to run.

    Raises:
        ValueError: if no set is left.
    """
    own = [group for group in groups if group.variables and set(group.variables) <= set(claims)]
    if not own:
        raise ValueError(f"claims about {list(claims)}: no test set has only these variables")
    found = evaluate(model, intervention_at(model, claims), own, batch_size, device)
    sets = {}
    for group in own:
        labels, predicted = found.predictions[group.name]
        iia, noop, swap = (
            found.metrics[f"{key}/{group.name}"] for key in ("iia", "iia_noop", "iia_full_swap")
        )
        sets[group.name] = SetScore(iia, noop, swap, class_reports(labels.tolist(), predicted.tolist()))
    return NetworkScore(found.metrics["accuracy"], sets)


def class_reports(labels: Sequence[int], predicted: Sequence[int]) -> dict[int, ClassReport]:
    """Precision, recall, F1 and support of each class that occurs; 0 where nothing is to be divided."""
    classes = sorted(set(labels) | set(predicted))
    found = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)  # pyright: ignore[reportArgumentType]
    precision, recall, f1, support = (np.asarray(column).tolist() for column in found)
    return {
        label: ClassReport(precision[i], recall[i], f1[i], int(support[i])) for i, label in enumerate(classes)
    }


def averaged(scores: Sequence[SetScore]) -> SetScore:
    """The mean over networks, supports added up."""
    labels = sorted({label for own in scores for label in own.classes})
    classes = {}
    for label in labels:
        own = [each.classes[label] for each in scores if label in each.classes]
        classes[label] = ClassReport(
            mean(each.precision for each in own),
            mean(each.recall for each in own),
            mean(each.f1 for each in own),
            sum(each.support for each in own),
        )
    return SetScore(
        mean(each.iia for each in scores),
        mean(each.noop for each in scores),
        mean(each.full_swap for each in scores),
        classes,
    )
