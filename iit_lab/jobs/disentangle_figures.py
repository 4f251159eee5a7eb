"""Figures of `job=disentangle`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.tree import plot_tree

from iit_lab.analysis.faithful import Curve
from iit_lab.analysis.newcomers import BINS, Judged
from iit_lab.analysis.trees import Tree
from iit_lab.results import figures


def draw(
    folder: Path, table: pd.DataFrame, curves: Mapping[str, Curve], judged: Judged | None, layer: int
) -> None:
    """Heatmaps over layers, faithful subgraphs, and how far the classifier's confidence can be trusted."""
    for name in ("iia", "density", "nodes covered"):
        figures.save(_heatmap(table, name), folder / name.replace(" ", "-"))
    figures.save(_curves(curves, layer), folder / "faithful")
    if judged is not None:
        figures.save(_reliability(judged), folder / "calibration")


def _heatmap(table: pd.DataFrame, name: str) -> Figure:
    wide = table.pivot(index="layer", columns="model", values=name)
    figure = Figure(figsize=(2.2 + 0.9 * wide.shape[1], 1.4 + 0.4 * wide.shape[0]), layout="constrained")
    axes = figure.add_subplot()
    seaborn.heatmap(
        wide,
        **{"vmin": 0.0, "vmax": 1.0, "cmap": "viridis", "annot": True, "fmt": ".3f"},
        linewidths=0.5,
        ax=axes,
    )
    axes.set_title(name)
    axes.tick_params(axis="y", labelrotation=0)
    return figure


def _curves(curves: Mapping[str, Curve], layer: int) -> Figure:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(np.arange(2, len(curve.iia) + 2), curve.iia, label=name)
    axes.set(
        xlabel="inputs", ylabel="mean IIA", ylim=(-0.02, 1.02), title=f"faithful subgraphs, layer {layer}"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _reliability(judged: Judged) -> Figure:
    bins = np.minimum((judged.confidence * BINS).astype(int), BINS - 1)
    there = [i for i in range(BINS) if (bins == i).any()]
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.plot(
        [judged.confidence[bins == i].mean() for i in there],
        [judged.right[bins == i].mean() for i in there],
        marker="o",
    )
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1.02), title="unseen inputs")
    return figure


def tree(made: Tree, names: Sequence[str], title: str) -> Figure:
    """A decision tree."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)  # plot_tree measures its text
    axes = figure.add_subplot()
    plot_tree(
        made.model,
        feature_names=list(names),
        class_names=["other", "member"],
        **{"filled": True, "impurity": False, "rounded": True, "fontsize": 7, "ax": axes},
    )
    axes.set_title(title)
    return figure
