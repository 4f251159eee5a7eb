"""A paper's table with ours beside the published numbers: as text, as numbers, as a figure."""

from collections.abc import Sequence

import pandas as pd
import seaborn
from matplotlib.figure import Figure

from iit_lab.results.paper import Entry, PaperTable

NONE, OUTSIDE = "-", "!"


def frame(table: PaperTable, entries: Sequence[Entry]) -> pd.DataFrame:
    """One text per cell: `0.852 ± 0.050 (1.000) !`, with the published number in brackets."""
    rows, columns = [line.label for line in table.rows], [line.label for line in table.columns]
    texts = [_text(entry) for entry in entries]
    width = len(columns)
    return pd.DataFrame(
        [texts[i * width : (i + 1) * width] for i in range(len(rows))],
        index=pd.Index(rows, name=table.name, dtype=object),
        columns=pd.Index(columns, name=f"ours ({table.statistic}) and published", dtype=object),
    )


def caption(table: PaperTable, entries: Sequence[Entry]) -> str:
    """What the table shows and how to read it."""
    runs = sorted({len(entry.values) for entry in entries if entry.values})
    seeds = f"{runs[0]} to {runs[-1]}" if len(runs) > 1 else str(runs[0]) if runs else "no"
    return (
        f"{table.caption} Ours is the {table.statistic} ± standard deviation over {seeds} runs; published in "
        f"brackets ({table.source}); {OUTSIDE} marks a difference above the tolerance."
    )


def numbers(entries: Sequence[Entry]) -> pd.DataFrame:
    """A row per cell with everything that is known of it."""
    return pd.DataFrame(
        [
            {
                "row": entry.row,
                "column": entry.column,
                "metric": entry.metric,
                "runs": len(entry.values),
                "ours": entry.ours,
                "std": entry.spread,
                "min": min(entry.values, default=None),
                "median": pd.Series(entry.values, dtype=float).median() if entry.values else None,
                "max": max(entry.values, default=None),
                "published": entry.published,
                "tolerance": entry.tolerance,
                "within": entry.within,
            }
            for entry in entries
        ]
    )


def outside(entries: Sequence[Entry]) -> list[str]:
    """A line per cell that is further from the published number than the tolerance."""
    return [
        f"{entry.row}, {entry.column}: {entry.ours:.3f}, published {entry.published:.3f}, "
        f"tolerance {entry.tolerance:.3f}"
        for entry in entries
        if entry.within is False
    ]


def missing(entries: Sequence[Entry]) -> list[str]:
    """Cells without any run."""
    return [f"{entry.row}, {entry.column}" for entry in entries if not entry.values]


def draw(table: PaperTable, entries: Sequence[Entry]) -> Figure:
    """A line per row over the columns: ours with its spread, the published numbers dashed."""
    columns = [line.label for line in table.columns]
    figure = Figure(figsize=(2.5 + 0.6 * len(columns) + 2.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    palette = seaborn.color_palette("husl" if len(table.rows) > 10 else "colorblind", len(table.rows))
    for i, row in enumerate(table.rows):
        own = entries[i * len(columns) : (i + 1) * len(columns)]
        there = [(x, e.ours, e.spread or 0.0) for x, e in enumerate(own) if e.ours is not None]
        colour = palette[i]
        marker = "osD^v"[i // 10 % 5]
        if there:
            x, y, spread = zip(*there, strict=True)
            axes.errorbar(x, y, spread, color=colour, marker=marker, capsize=2, label=row.label)
        known = [(x, e.published) for x, e in enumerate(own) if e.published is not None]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, color=colour, linestyle="--", marker="x", alpha=0.7)
    axes.set_xticks(range(len(columns)), columns)
    axes.set(ylim=(0, 1.02), ylabel=table.metric, title=f"{table.name}: ours, published dashed")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.grid(alpha=0.3)
    return figure


def _text(entry: Entry) -> str:
    if entry.ours is None:
        return NONE if entry.published is None else f"{NONE} ({entry.published:.3f})"
    words = [f"{entry.ours:.3f}"]
    words += [] if entry.spread is None else [f"± {entry.spread:.3f}"]
    words += [] if entry.published is None else [f"({entry.published:.3f})"]
    words += [OUTSIDE] if entry.within is False else []
    return " ".join(words)
