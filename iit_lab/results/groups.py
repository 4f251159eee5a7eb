"""Groups of runs that differ in nothing but their seeds, and what a group found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd

from iit_lab.results.collect import CELL, TIME
from iit_lab.results.columns import is_missing, natural, plain, text

SEED = ("seed",)
NONE = "-"


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
    return [name for name in map(str, frame.columns) if name != CELL and "/" not in name]


def metrics(frame: pd.DataFrame) -> list[str]:
    """Columns of a table of runs that are metrics."""
    return [name for name in map(str, frame.columns) if "/" in name and name != TIME]


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
    grouped = frame.groupby(fixed or np.zeros(len(frame)), dropna=False, sort=False)
    wanted = {f"{name}/{part}": (name, part) for name in metrics(frame) for part in ("mean", "std")}
    return grouped.agg(**wanted, runs=(CELL, "size")).reset_index(drop=not fixed)


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
    where = where or {}
    kept = keep(frame, where)
    pairs = list(zip(*(labels(kept, key) for key in by), strict=True))
    if others := _others(kept, pairs, [metric, *by], over):
        raise ValueError(
            f"where={dict(where)}: runs with the same {by[0]} and {by[1]} also differ in {others}: "
            "fix these with where, or add them to over"
        )
    found: dict[tuple[Any, Any], list[float]] = {}
    for pair, value in zip(pairs, kept[metric].tolist(), strict=True):
        if not is_missing(value):
            found.setdefault(pair, []).append(value)
    down, across = (_distinct(each) for each in zip(*pairs, strict=True))
    return Grid(by[0], by[1], (down, across), {pair: _score(values) for pair, values in found.items()})


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
        value = plain(value)
        key = find_key(frame, "where", name)
        there = [plain(each) for each in frame[key].tolist()]
        chosen = [i for i, each in enumerate(there) if each == value or text(each) == text(value)]
        if not chosen:
            known = _listed(text(each) for each in sorted(set(there), key=natural))
            raise ValueError(f"where.{name}={text(value)}: no run is left; {key} has: {known}")
        frame = frame.take(chosen)
    return frame


def labels(frame: pd.DataFrame, key: str) -> list[Any]:
    """A key's value in each run; `-` where it has none."""
    return [NONE if is_missing(value) else plain(value) for value in frame[key].tolist()]


def _others(frame: pd.DataFrame, pairs: Sequence[Any], apart: Sequence[str], over: Sequence[str]) -> str:
    """Keys in which runs of the same pair differ besides, with their values.

    Args:
        frame: runs.
        pairs: of each run.
        apart: the metric, without which a run does not count, and keys that are not looked at.
        over: keys to average over.
    """
    counts = [not is_missing(value) for value in frame[apart[0]].tolist()]
    shown = []
    for key in keys(frame):
        if key in apart or is_averaged(key, over):
            continue
        values = labels(frame, key)
        distinct = {each for each in zip(pairs, values, counts, strict=True) if each[2]}
        if len(distinct) > len({pair for pair, _, _ in distinct}):
            some = _distinct(value for _, value, _ in distinct)[:6]
            shown.append(f"{key} ({_listed(map(str, some))})")
    return "; ".join(shown)


def _distinct(found: Iterable[Any]) -> list[Any]:
    """Labels in natural order, first the one for none."""
    return sorted(set(found), key=lambda label: natural(None if label == NONE else label))


def _score(values: Sequence[float]) -> Score:
    return Score(mean(values), stdev(values) if len(values) > 1 else nan, len(values))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
