"""Groups of runs that differ in nothing but their seeds, and what a group found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from iit_lab.results.collect import CELL, TIME
from iit_lab.results.columns import is_missing, natural, plain, text

SEED = ("seed",)


@dataclass(frozen=True)
class Score:
    """A metric over the runs of a group.

    Args:
        mean: over runs.
        std: of a sample (n - 1 in the denominator); NaN for one run.
        runs: how many.
    """

    mean: float
    std: float
    runs: int


@dataclass(frozen=True)
class Grid:
    """A metric over two keys.

    Args:
        rows: key of the rows, in full.
        columns: key of the columns, in full.
        labels: the values of each in natural order; `-` where a run has none.
        scores: by row's and column's value, where there is any run.
    """

    rows: str
    columns: str
    labels: tuple[list[Any], list[Any]]
    scores: Mapping[tuple[Any, Any], Score]


def keys(frame: pd.DataFrame) -> list[str]:
    """Columns of a table of runs that are config keys."""
    return [name for name in frame if name != CELL and "/" not in name]


def metrics(frame: pd.DataFrame) -> list[str]:
    """Columns of a table of runs that are metrics."""
    return [name for name in frame if "/" in name and name != TIME]


def is_averaged(key: str, over: Sequence[str]) -> bool:
    """Whether `over` names a key, in full or by its last part: `seed` means `model.seed` too."""
    return key in over or key.rpartition(".")[2] in over


def summarise(frame: pd.DataFrame, over: Sequence[str] = SEED) -> pd.DataFrame:
    """Mean and spread of every metric over the seeds.

    Args:
        frame: as `collect` makes it.
        over: keys, or last parts of keys, to average over.

    Returns:
        A row per combination of the other keys: these, then `<metric>/mean`, `<metric>/std` (of a sample;
        NaN for one run) and `runs`. A metric that some of those runs lack is averaged over the others.
    """
    fixed = [key for key in keys(frame) if not is_averaged(key, over)]
    names = metrics(frame)
    grouped = frame.groupby(fixed or [0] * len(frame), dropna=False, sort=False)
    means, spreads = grouped[names].mean(), grouped[names].std(ddof=1)
    statistics = {}
    for name in names:
        statistics[f"{name}/mean"], statistics[f"{name}/std"] = means[name], spreads[name]
    result = pd.DataFrame({**statistics, "runs": grouped.size()}, index=means.index)
    return result.reset_index(drop=not fixed)


def grid(
    frame: pd.DataFrame,
    rows: str,
    columns: str,
    metric: str,
    where: Mapping[str, Any] | None = None,
    over: Sequence[str] = SEED,
    arguments: tuple[str, str] = ("rows", "columns"),
) -> Grid:
    """A metric over two keys, averaged over seeds and nothing else.

    Args:
        frame: as `collect` makes it.
        rows: a key, or the end of one (`layer`), if only one key ends so.
        columns: likewise.
        metric: its name in full.
        where: key -> the value that runs must have there.
        over: keys, or last parts of keys, to average over.
        arguments: what an error calls `rows` and `columns`.

    Raises:
        ValueError: for an unknown or ambiguous name, a filter that no run passes, or runs that differ in
            something else besides; names the argument, its value and what would be valid.
    """
    by = [find_key(frame, name, value) for name, value in zip(arguments, (rows, columns), strict=True)]
    if by[0] == by[1]:
        raise ValueError(f"{arguments[1]}={columns}: is what {arguments[0]} are, name another key")
    if metric not in metrics(frame):
        raise ValueError(f"metric={metric}: there is no such metric; there are: {_listed(metrics(frame))}")
    kept = keep(frame, where or {})
    labels = [_labels(kept[key]) for key in by]
    measured = kept[kept[metric].notna()]
    _refuse_others(measured, by, over)
    groups = measured.groupby(by, dropna=False, sort=False)[metric]
    scores = {
        (_label(row), _label(column)): Score(values.mean(), values.std(ddof=1), len(values))
        for (row, column), values in groups
    }
    return Grid(by[0], by[1], (labels[0], labels[1]), scores)


def find_key(frame: pd.DataFrame, argument: str, name: str) -> str:
    """The one key that a name stands for.

    Raises:
        ValueError: if it stands for none or for several.
    """
    if name in keys(frame):
        return name
    found = [key for key in keys(frame) if key.endswith(f".{name}")]
    if len(found) > 1:
        raise ValueError(f"{argument}={name}: stands for several keys; there are: {_listed(found)}")
    if not found:
        known = _listed(keys(frame))
        raise ValueError(f"{argument}={name}: no such key was typed or differs; there are: {known}")
    return found[0]


def keep(frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """The runs that have the given values; None for none.

    Raises:
        ValueError: if there are none; names the values that there are.
    """
    for name, value in where.items():
        key = find_key(frame, "where", name)
        values = [plain(each) for each in frame[key].unique()]
        same = [each == value or text(each) == text(value) for each in values]
        if not any(same):
            known = _listed(text(each) for each in sorted(values, key=natural))
            raise ValueError(f"where.{name}={text(value)}: no run is left; {key} has: {known}")
        chosen = [each for each, fits in zip(values, same, strict=True) if fits]
        frame = frame[[plain(each) in chosen for each in frame[key]]]
    return frame


def _refuse_others(frame: pd.DataFrame, by: Sequence[str], over: Sequence[str]) -> None:
    """Averaging over seeds must not average over anything else without a word.

    Raises:
        ValueError: if runs with the same value of `by` differ in another key.
    """
    others = [key for key in keys(frame) if key not in by and not is_averaged(key, over)]
    grouped = frame.groupby(list(by), dropna=False, sort=False)
    varied = [key for key in others if (grouped[key].nunique(dropna=False) > 1).any()]
    if varied:
        shown = "; ".join(f"{key} ({_listed(map(str, _labels(frame[key])[:6]))})" for key in varied)
        raise ValueError(
            f"where: runs of the same {by[0]} and {by[1]} also differ in {shown}: "
            "fix these with where, or add them to over"
        )


def _labels(column: pd.Series) -> list[Any]:
    return [_label(value) for value in sorted(column.unique(), key=natural)]


def _label(value: Any) -> Any:
    return "-" if is_missing(value) else plain(value)


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
