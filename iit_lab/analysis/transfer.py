"""Alignments under one causal model, tested under another: is the claim about this model at all?

The sanity check of the DAS thesis (Pislar 2024): an alignment that was trained on model A should hold for A,
and not for models that A is not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

import pandas as pd

from iit_lab.results.collect import CELL


@dataclass(frozen=True)
class Trial:
    """An alignment under one causal model.

    Args:
        trained: the model that it was trained on.
        tested: the model that gave the labels.
        layer: 0-based.
        rank: dimensions per variable; None where the subspace chooses.
        seed: of the alignment.
        metrics: such as `test/iia`.
    """

    trained: str
    tested: str
    layer: int
    rank: int | None
    seed: int
    metrics: Mapping[str, float]

    @property
    def place(self) -> tuple[int, int | None]:
        """Layer and rank."""
        return self.layer, self.rank


@dataclass(frozen=True)
class Compared:
    """An alignment under its own model, the best of it under another, and its floor; means over seeds."""

    trained: str
    layer: int
    rank: int | None
    own: float
    other: float
    floor: float


def own(tests: Iterable[Trial]) -> list[Trial]:
    """Alignments under the model that they were trained on."""
    return [test for test in tests if test.trained == test.tested]


def averaged(tests: Iterable[Trial], metric: str) -> dict[tuple[str, str, int, int | None], float]:
    """A metric's mean over seeds, by trained model, tested model, layer and rank."""
    values: dict[tuple[str, str, int, int | None], list[float]] = {}
    for test in tests:
        if metric in test.metrics:
            values.setdefault((test.trained, test.tested, *test.place), []).append(test.metrics[metric])
    return {key: mean(found) for key, found in values.items()}


def compare(
    tests: Sequence[Trial], metric: str = "test/iia", floor: str = "test/iia_full_swap"
) -> list[Compared]:
    """The diagonal of the matrix beside the largest entry of its row that is not on it.

    Args:
        tests: every alignment under all models.
        metric: what is compared.
        floor: the baseline that an alignment has to exceed before a comparison means anything.

    Returns:
        One for each trained model, layer and rank that was tested on others too.
    """
    values, floors = averaged(tests, metric), averaged(tests, floor)
    found = []
    for (trained, tested, layer, rank), value in values.items():
        others = [
            other
            for (name, wrong, *place), other in values.items()
            if name == trained and wrong != trained and place == [layer, rank]
        ]
        if trained == tested and others:
            below = floors[trained, tested, layer, rank]
            found.append(Compared(trained, layer, rank, value, max(others), below))
    return found


def passes(compared: Iterable[Compared], least: float = 0.2) -> tuple[int, int]:
    """Of the alignments that exceed their floor by `least`: how many exceed the others; how many they are."""
    high = [one for one in compared if one.own - one.floor > least]
    return sum(one.own > one.other for one in high), len(high)


def best_models(tests: Sequence[Trial], metric: str = "test/iia") -> list[tuple[int, int | None, str, float]]:
    """Layer, rank, the model whose alignment is best there, and its metric averaged over seeds."""
    best: dict[tuple[int, int | None], tuple[str, float]] = {}
    for (trained, _, layer, rank), value in averaged(own(tests), metric).items():
        if (layer, rank) not in best or value > best[layer, rank][1]:
            best[layer, rank] = (trained, value)
    return [(*place, *found) for place, found in best.items()]


def advantage(tests: Sequence[Trial], reference: str, metric: str = "test/iia_changed") -> float:
    """How far the network's own model is ahead of wrong ones at its best layer and rank; median over seeds.

    Args:
        tests: alignments under `reference` tested on all models, or every alignment under its own.
        reference: the model that the network was trained on.
        metric: of label-changing pairs, by default.

    Returns:
        The metric of `reference` minus the largest of the others.

    Raises:
        ValueError: if nothing was tested on another model.
    """
    found = []
    for seed in dict.fromkeys(test.seed for test in tests):
        here = [test for test in tests if test.seed == seed]
        best = max(
            (test for test in own(here) if test.trained == reference), key=lambda test: test.metrics[metric]
        )
        wrong = [
            test.metrics[metric] for test in here if test.place == best.place and test.tested != reference
        ]
        if not wrong:
            raise ValueError(f"reference={reference}: nothing was tested on another model")
        found.append(best.metrics[metric] - max(wrong))
    return median(found)


def frame(tests: Sequence[Trial]) -> pd.DataFrame:
    """A row per test, as `iit_lab.results` draws and tabulates."""
    rows = [
        {
            "trained_on": test.trained,
            "tested_on": test.tested,
            "alignment.layer": test.layer,
            "intervention.rank": test.rank,
            "seed": test.seed,
            CELL: f"{test.trained}-{test.tested}-{test.layer}-{test.rank}-{test.seed}",
            **test.metrics,
        }
        for test in tests
    ]
    return pd.DataFrame(rows)
