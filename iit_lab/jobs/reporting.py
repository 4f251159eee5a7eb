"""Results for a person: tables in the log, `report.json` beside the record."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iit_lab.results.files import write_json
from iit_lab.training.evaluation import ABLATION, INTERCHANGE, Evaluation

log = logging.getLogger(__name__)
HEADINGS = {
    "iia": "IIA",
    "iia_changed": "label changes",
    "iia_unchanged": "label stays",
    "iia_noop": "no-op",
    "iia_full_swap": "full swap",
    "effect": "output changes",
    "ablated_accuracy": "accuracy left",
}


def log_report(title: str, evaluation: Evaluation) -> None:
    """Precision, recall, F1 and support per set of variables, as the II-Benchmark prints them, then IIA."""
    from sklearn.metrics import classification_report

    for name, (labels, predicted) in evaluation.predictions.items():
        report = classification_report(labels, predicted, digits=2, zero_division=0)  # pyright: ignore[reportArgumentType]
        log.info("%s: %s\n%s", title, name, str(report).rstrip())
    log.info("%s\n%s", title, brief(evaluation))


def brief(evaluation: Evaluation) -> str:
    """IIA with its baselines per set of variables, and the accuracy."""
    return summary({f"test/{key}": value for key, value in evaluation.metrics.items()})


def save_report(directory: Path, evaluation: Evaluation) -> dict[str, str]:
    """The same reports as `report.json`."""
    from sklearn.metrics import classification_report

    reports = {
        name: classification_report(labels, predicted, output_dict=True, zero_division=0)  # pyright: ignore[reportArgumentType]
        for name, (labels, predicted) in evaluation.predictions.items()
    }
    write_json(directory / "report.json", reports)
    return {"report": "report.json"}


def summary(metrics: Mapping[str, float]) -> str:
    """Test metrics: a line per set of variables with a column per kind, then the accuracy."""
    accuracy = f"accuracy without intervention: {metrics['test/accuracy']:.4f}"
    rows = result_table(metrics)
    if not rows:
        return accuracy
    head = ["", *(HEADINGS[name] for name in rows[0][1:])]
    lines = [[row[0], *(f"{v:.4f}" if v is not None else "-" for v in row[1:])] for row in rows[1:]]
    return f"{_aligned([head, *lines])}\n{accuracy}"


def result_table(metrics: Mapping[str, float]) -> list[list[Any]]:
    """Test metrics as rows: column names first, then one row per set of variables; or nothing."""
    kinds = [kind for kind in (*INTERCHANGE, *ABLATION) if f"test/{kind}" in metrics]
    if not kinds:
        return []
    prefix = f"test/{kinds[0]}/"
    names = [key.removeprefix(prefix) for key in metrics if key.startswith(prefix)]
    rows = [[name, *(metrics.get(f"test/{kind}/{name}") for kind in kinds)] for name in names]
    return [["variables", *kinds], *rows, ["mean", *(metrics[f"test/{kind}"] for kind in kinds)]]


def comparison(metrics: Mapping[str, float], names: Sequence[str]) -> str:
    """Every control's mean IIA, or an ablation's mean effect, under the run's own."""
    lines = [["", "IIA" if "test/iia" in metrics else HEADINGS["effect"]]]
    for i, name in enumerate(names):
        prefix = "test" if i == 0 else f"control/{name}"
        value = metrics.get(f"{prefix}/iia", metrics.get(f"{prefix}/effect"))
        lines.append([name, "-" if value is None else f"{value:.4f}"])
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
    )
