"""Scores as text."""

from collections.abc import Mapping, Sequence

from tabulate import tabulate

from iit_lab.benchmark.leaderboard import Entry
from iit_lab.benchmark.scoring import NetworkScore, averaged


def scores_table(scores: Mapping[str, NetworkScore], trained: Mapping[str, str]) -> str:
    """IIA with its baselines, and precision, recall, F1 and support, over networks trained alike.

    Args:
        scores: of each network.
        trained: the variables that each was trained on.
    """
    rows = []
    for kind in sorted(set(trained.values()), key=lambda name: (name.count("+"), name)):
        own = [scores[name] for name in scores if trained[name] == kind]
        for name in dict.fromkeys(name for each in own for name in each.sets):
            with_it = [each.sets[name] for each in own if name in each.sets]
            mean = averaged(with_it)
            row = [kind, name, len(with_it), mean.iia, mean.noop, mean.full_swap]
            for label, report in mean.classes.items():
                rows.append([*row, label, report.precision, report.recall, report.f1, report.support])
                row = [""] * len(row)
    head = ["trained on", "intervened in", "networks", "IIA", "no-op", "full swap"]
    head += ["class", "precision", "recall", "F1", "support"]
    return tabulate(rows, head, tablefmt="pipe", floatfmt=".3f")


def leaderboard_table(entries: Sequence[Entry]) -> str:
    """One row for each submission, in the order given."""
    rows = [
        [
            i + 1,
            each.name,
            each.networks,
            each.above,
            each.iia,
            each.dimensions,
            "-" if each.jaccard is None else f"{each.jaccard:.3f}",
            "-" if each.overlap is None else f"{each.overlap:.3f}",
        ]
        for i, each in enumerate(entries)
    ]
    head = ["", "submission", "networks", "IIA above baselines", "IIA of those claimed", "dimensions"]
    head += ["unit overlap (Jaccard)", "subspace overlap"]
    return tabulate(rows, head, tablefmt="pipe", floatfmt=".3f")
