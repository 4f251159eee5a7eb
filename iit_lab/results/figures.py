"""A metric over two keys as a figure."""

from collections.abc import Mapping, Sequence
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iit_lab.results.files import replacing
from iit_lab.results.groups import SEED, Grid, grid

MOST_TICKS = 16
"""Up to so many numbers along an axis are each named."""


def heatmap(
    frame: pd.DataFrame,
    rows: str,
    columns: str,
    metric: str,
    over: Sequence[str] = SEED,
    where: Mapping[str, Any] | None = None,
    vmin: float = 0.0,
    vmax: float = 1.0,
    title: str = "",
) -> Figure:
    """A coloured cell per combination of two keys, with the metric's mean over the seeds written in it.

    Args:
        frame: as `collect` makes it.
        rows: a key, or the end of one (`layer`), if only one key ends so.
        columns: likewise.
        metric: its name in full.
        over: keys, or last parts of keys, to average over.
        where: key -> the value that runs must have there.
        vmin: the value at the lower end of the colour scale; the same for every figure, to compare them.
        vmax: the value at its upper end.
        title: above the figure.

    Raises:
        ValueError: as `iit_lab.results.groups.grid` does.
    """
    found = grid(frame, rows, columns, metric, where, over)
    down, across = found.labels
    means = np.array([[_mean(found, row, column) for column in across] for row in down])
    figure = Figure(figsize=(2.2 + 0.75 * len(across), 1.4 + 0.45 * len(down)), layout="constrained")
    axes = figure.add_subplot()
    seaborn.heatmap(
        pd.DataFrame(means, index=pd.Index(map(str, down)), columns=pd.Index(map(str, across))),
        **{"vmin": vmin, "vmax": vmax, "cmap": "viridis", "annot": True, "fmt": ".3f"},
        cbar_kws={"label": metric},
        linewidths=0.5,
        ax=axes,
    )
    axes.set(xlabel=found.columns, ylabel=found.rows, title=title)
    axes.tick_params(axis="y", labelrotation=0)
    return figure


def lines(
    frame: pd.DataFrame,
    x: str,
    hue: str,
    metric: str,
    over: Sequence[str] = SEED,
    where: Mapping[str, Any] | None = None,
    vmin: float = 0.0,
    vmax: float = 1.0,
    title: str = "",
) -> Figure:
    """A line per value of `hue`: the metric's mean over the seeds, and a band of ± 1 standard deviation.

    Args:
        frame: as `collect` makes it.
        x: key along the x axis; keys as in `heatmap`.
        hue: key that tells the lines apart.
        metric: its name in full, along the y axis.
        over: keys, or last parts of keys, to average over.
        where: key -> the value that runs must have there.
        vmin: lower end of the y axis.
        vmax: its upper end.
        title: above the figure.

    Raises:
        ValueError: as `iit_lab.results.groups.grid` does.
    """
    found = grid(frame, x, hue, metric, where, over, ("x", "hue"))
    labels, hues = found.labels
    numeric = all(isinstance(label, Number) for label in labels)
    places = dict(zip(labels, labels if numeric else range(len(labels)), strict=True))
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    palette = seaborn.color_palette("colorblind" if len(hues) <= 10 else "husl", len(hues))
    for value, colour in zip(hues, palette, strict=True):
        _line(axes, found, places, value, colour)
    if not numeric or len(labels) <= MOST_TICKS:
        axes.set_xticks(list(places.values()), [str(label) for label in labels])
    margin = 0.02 * (vmax - vmin)
    axes.set(xlabel=found.rows, ylabel=metric, title=title, ylim=(vmin - margin, vmax + margin))
    axes.grid(alpha=0.3)
    axes.legend(title=found.columns)
    return figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `<path>.png` and `<path>.pdf`, each whole or not at all; the same figure gives the same bytes."""
    written = []
    for kind, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
        target = path.parent / f"{path.name}.{kind}"
        with replacing(target) as temporary:
            figure.savefig(temporary, format=kind, dpi=200, metadata=metadata)
        written.append(target)
    return written


def _line(axes: Axes, found: Grid, places: Mapping[Any, float], hue: Any, colour: Any) -> None:
    """One line, through those places where there are runs."""
    scores = [(places[label], found.scores.get((label, hue))) for label in places]
    points = [(place, score.mean, score.std if score.runs > 1 else 0.0) for place, score in scores if score]
    if points:
        at, means, stds = np.array(points, dtype=float).T
        axes.plot(at, means, marker="o", color=colour, label=str(hue))
        axes.fill_between(at, means - stds, means + stds, color=colour, alpha=0.2, linewidth=0)


def _mean(found: Grid, row: Any, column: Any) -> float:
    score = found.scores.get((row, column))
    return float("nan") if score is None else score.mean
