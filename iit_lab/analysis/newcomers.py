"""Which causal model does a network use for an input that it has not been asked about?

What the DAS thesis left open: disentangling graphs say for every input which model fits best; a classifier
learns that from some inputs and is tested on the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import brier_score_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from iit_lab.analysis.graphs import BOTH, Matrix

NONE, TIE = "none", "tie"
BINS = 10


@dataclass(frozen=True)
class Labelled:
    """What each input is labelled with.

    Args:
        names: of the models.
        scores: mean edge weight over the input's discriminating pairs, per model; NaN where it has none.
        labels: a model's name, `none`, or `tie`.
    """

    names: tuple[str, ...]
    scores: Float[np.ndarray, "models inputs"]
    labels: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """How many inputs have each label."""
        return {name: int((self.labels == name).sum()) for name in (*self.names, NONE, TIE)}


def label(graphs: Mapping[str, Matrix], apart: Bool[np.ndarray, "inputs inputs"], least: float) -> Labelled:
    """The model with the highest mean edge weight, over pairs on which the models do not all agree.

    Args:
        graphs: right directions per pair, by model.
        apart: pairs on which the models disagree, symmetric.
        least: below this mean weight the label is `none`; so it is for an input without such pairs.

    Raises:
        ValueError: for a family of one.
    """
    if len(graphs) < 2:
        raise ValueError(f"graphs={list(graphs)}: two causal models or more are compared")
    pairs = apart.copy()
    np.fill_diagonal(pairs, False)
    counts = pairs.sum(1)
    sums = np.stack([np.where(pairs, weights, 0).sum(1) / BOTH for weights in graphs.values()])
    scores = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    names = np.array([*graphs], dtype=object)
    best = np.nan_to_num(scores, nan=-1.0).max(0)
    tied = (np.nan_to_num(scores, nan=-1.0) >= best - 1e-12).sum(0) > 1
    labels = names[np.nan_to_num(scores, nan=-1.0).argmax(0)]
    labels = np.where(tied, TIE, labels)
    labels = np.where((best < least) | (counts == 0), NONE, labels)
    return Labelled(tuple(graphs), scores, labels)


@dataclass(frozen=True)
class Judged:
    """A classifier on inputs that it has not seen.

    Args:
        accuracy: of the classifier.
        majority: of always the most frequent label.
        neighbour: of the five nearest inputs' label.
        brier: mean squared error of its probabilities; half of the multi-class score, as scikit-learn's.
        calibration_error: mean distance of confidence and accuracy over ten bins of confidence.
        seen: inputs that it was trained on.
        unseen: inputs that it was tested on.
        classes: labels.
        confidence: of its answers on unseen inputs.
        right: whether these were right.
    """

    accuracy: float
    majority: float
    neighbour: float
    brier: float
    calibration_error: float
    seen: int
    unseen: int
    classes: tuple[str, ...]
    confidence: Float[np.ndarray, " unseen"]
    right: Bool[np.ndarray, " unseen"]


def judge(
    features: pd.DataFrame,
    labelled: Labelled,
    train: Int[np.ndarray, " a"],
    test: Int[np.ndarray, " b"],
    seed: int,
) -> Judged:
    """Train on some inputs, evaluate on others; ties abstain.

    Args:
        features: a row per input.
        labelled: of all inputs.
        train: inputs to learn from.
        test: inputs to be judged on.
        seed: of the forest and its folds.

    Raises:
        ValueError: if the inputs to learn from have one label only, or a label fewer than two times.
    """
    kept = labelled.labels != TIE
    train, test = train[kept[train]], test[kept[test]]
    names, counts = np.unique(labelled.labels[train].astype(str), return_counts=True)
    frequent = set(names[counts >= 2])
    train = train[np.isin(labelled.labels[train].astype(str), list(frequent))]
    if len(frequent) < 2 or not len(test):
        found = dict(zip(names.tolist(), counts.tolist(), strict=True))
        raise ValueError(f"labels={found}: there is nothing to tell apart")
    values, answers = features.to_numpy(dtype=float), labelled.labels.astype(str)
    folds = int(min(5, counts[counts >= 2].min()))
    forest = RandomForestClassifier(200, min_samples_leaf=2, random_state=seed, n_jobs=1)
    model = CalibratedClassifierCV(forest, method="sigmoid", cv=folds)
    nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(min(5, len(train))))
    scores = {}
    for name, each in (("majority", DummyClassifier()), ("neighbour", nearest)):
        each.fit(values[train], answers[train])
        scores[name] = float(np.mean(each.predict(values[test]) == answers[test]))
    model.fit(values[train], answers[train])
    shares, classes = np.asarray(model.predict_proba(values[test])), np.asarray(model.classes_)
    confidence, right = shares.max(1), classes[shares.argmax(1)] == answers[test]
    return Judged(
        accuracy=float(np.mean(right)),
        majority=scores["majority"],
        neighbour=scores["neighbour"],
        brier=_brier(shares, answers[test], classes.tolist()),
        calibration_error=_calibration_error(confidence, right),
        seen=len(train),
        unseen=len(test),
        classes=tuple(map(str, classes)),
        confidence=confidence,
        right=right,
    )


def _brier(shares: np.ndarray, answers: np.ndarray, classes: Sequence[str]) -> float:
    return float(
        np.mean(
            [brier_score_loss(answers == name, share) for name, share in zip(classes, shares.T, strict=True)]
        )
    )


def _calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == i).mean() * abs(confidence[bins == i].mean() - right[bins == i].mean())
        for i in range(BINS)
        if (bins == i).any()
    ]
    return float(sum(gaps))
