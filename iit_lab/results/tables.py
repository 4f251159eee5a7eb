"""A metric over two keys as text: for a terminal, a README, a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from iit_lab.results.groups import NONE, SEED, Score, grid

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        **{special: f"\\{special}" for special in "&%$#_{}"},
    }
)


def pivot(
    frame: pd.DataFrame,
    rows: str,
    columns: str,
    metric: str,
    over: Sequence[str] = SEED,
    where: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """A metric's mean ± standard deviation over the seeds, for every combination of two keys.

    Args:
        frame: as `collect` makes it.
        rows: a key, or the end of one (`layer`), if only one key ends so.
        columns: likewise.
        metric: its name in full.
        over: keys, or last parts of keys, to average over.
        where: key -> the value that runs must have there.

    Returns:
        Cells such as `0.907 ± 0.040` (a sample's standard deviation); the mean alone where there is one
        run, `-` where there is none. Index and columns are named after their keys.

    Raises:
        ValueError: as `iit_lab.results.groups.grid` does.
    """
    found = grid(frame, rows, columns, metric, where, over)
    down, across = found.labels
    return pd.DataFrame(
        [[_cell(found.scores.get((row, column))) for column in across] for row in down],
        index=pd.Index(down, name=found.rows, dtype=object),
        columns=pd.Index(across, name=found.columns, dtype=object),
    )


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """The caption, then what `pivot` made; the corner names the keys of rows and columns."""
    corner = f"{table.index.name} \\ {table.columns.name}"
    escaped = table.map(_markdown).rename(index=_markdown)
    headers = [_markdown(label) for label in (corner, *table.columns)]
    body = escaped.to_markdown(headers=headers, disable_numparse=True, stralign="left")
    return f"{caption}\n\n{body}\n"


def to_latex(table: pd.DataFrame, caption: str) -> str:
    r"""What `pivot` made as a floating table; needs `\usepackage{booktabs}`."""
    escaped = table.map(_latex).rename(index=_latex, columns=_latex)
    escaped = escaped.rename_axis(index=_latex(table.index.name), columns=_latex(table.columns.name))
    text = escaped.style.to_latex(
        caption=_latex(caption),
        column_format="l" + "r" * len(table.columns),
        hrules=True,
        position="htbp",
        position_float="centering",
    )
    return text.rstrip() + "\n"


def _cell(score: Score | None) -> str:
    if score is None:
        return NONE
    return f"{score.mean:.3f}" if score.runs == 1 else f"{score.mean:.3f} ± {score.std:.3f}"


def _markdown(value: Any) -> str:
    return str(value).replace("|", "\\|")


def _latex(value: Any) -> str:
    return str(value).translate(LATEX)
