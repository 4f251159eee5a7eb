"""All runs of a sweep in one table: which cell, its keys, its metrics, how long it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from iit_lab.results.columns import natural, ranks, series, text
from iit_lab.results.differing import ABSENT, Differing
from iit_lab.results.record import read_result
from iit_lab.sweeps.folder import cells

CELL, TIME = "cell", "timing/total"
NEVER = ("outputs", "sweep", "rerun", "hydra")
"""Keys that say where and how a sweep ran; no column even if they were typed."""


@dataclass(frozen=True)
class Collection:
    """What a sweep's folder holds.

    Args:
        frame: a row per finished run. Columns: `cell`; the config keys that were typed for any cell or
            differ between cells; the metrics, whose names have a slash; `timing/total`, in seconds.
        problems: a line per record that cannot be read.
        unfinished: how many cells have no record yet.
    """

    frame: pd.DataFrame
    problems: list[str]
    unfinished: int


@dataclass(frozen=True)
class _Row:
    """One record, of which only what sets it apart is kept."""

    cell: str
    typed: Mapping[str, str]
    changed: Mapping[str, Any]
    metrics: Mapping[str, float]
    seconds: float | None

    def value(self, key: str, common: Mapping[str, Any]) -> Any:
        """What the config has at a key; where that is no single value, such as a group's, what was typed."""
        value = self.changed.get(key, common.get(key, ABSENT))
        if value is ABSENT:
            return self.typed.get(key)
        return text(value) if isinstance(value, list) else value


def runs(directory: Path) -> pd.DataFrame:
    """The table of a sweep's finished runs, see `Collection`."""
    return collect(directory).frame


def collect(directory: Path) -> Collection:
    """Read every record of a sweep; one that cannot be read is a line in `problems`, not an error.

    Args:
        directory: of the sweep, or any other whose sub-folders are runs.
    """
    rows: list[_Row] = []
    problems: list[str] = []
    differing: Differing | None = None
    unfinished = 0
    for cell in cells(directory):  # one after another: parsing holds the interpreter, threads only slow it
        try:
            record = _read(cell)
        except ValueError as error:
            if (cell / "result.json").exists():
                problems.append(" ".join(str(error).split()))
            else:
                unfinished += 1
            continue
        differing = differing or Differing(record["config"])
        changed = differing.changes(record["config"])
        seconds = record["timing"].get("total")
        rows.append(
            _Row(
                cell.relative_to(directory).as_posix(),
                _typed(record["overrides"]),
                changed,
                record["metrics"],
                seconds,
            )
        )
    return Collection(_frame(rows, differing or Differing({})), problems, unfinished)


def _read(cell: Path) -> dict[str, Any]:
    """A record whose parts have the types that the table needs.

    Raises:
        ValueError: if it has not, or as `read_result` does.
    """
    record = read_result(cell)
    record.setdefault("overrides", [])
    record.setdefault("timing", {})
    wrong = [name for name in ("config", "metrics", "timing") if not isinstance(record[name], dict)]
    wrong += [] if _hold(record["overrides"], {str}) else ["overrides"]
    for name in ("metrics", "timing"):
        if name not in wrong and not _hold(list(record[name].values()), {int, float}):
            wrong.append(name)
    if wrong:
        raise ValueError(f"{cell / 'result.json'}: {', '.join(wrong)}: not what a record holds there")
    return record


def _hold(values: Any, kinds: set[type]) -> bool:
    return isinstance(values, list) and set(map(type, values)) <= kinds


def _typed(overrides: Sequence[str]) -> dict[str, str]:
    """Dotted key -> text of what was typed; a deletion (`~key`) leaves a difference, not a value."""
    pairs = (each.lstrip("+").partition("=") for each in overrides if not each.startswith("~"))
    return {key.replace("/", "."): value for key, _, value in pairs}


def _keys(rows: Sequence[_Row], differing: set[str]) -> list[str]:
    """Typed keys in the order in which they were typed, then the others that differ."""
    typed = dict.fromkeys(key for row in rows for key in row.typed)
    every = [*typed, *sorted(differing - set(typed), key=natural)]
    return [key for key in every if key.partition(".")[0] not in NEVER]


def _frame(rows: Sequence[_Row], differing: Differing) -> pd.DataFrame:
    """Rows in natural order by the keys."""
    keys = _keys(rows, differing.keys)
    found = {key: [row.value(key, differing.common) for row in rows] for key in keys}
    places = [ranks(values) for values in found.values()]
    order = sorted(range(len(rows)), key=lambda i: ([place[i] for place in places], natural(rows[i].cell)))
    metrics = sorted({name for row in rows for name in row.metrics}, key=natural)
    columns = {CELL: series([rows[i].cell for i in order])}
    columns |= {key: series([values[i] for i in order]) for key, values in found.items()}
    columns |= {name: _numbers([rows[i].metrics.get(name) for i in order]) for name in metrics}
    columns[TIME] = _numbers([rows[i].seconds for i in order])
    return pd.DataFrame(columns)


def _numbers(values: Sequence[float | None]) -> pd.Series:
    return pd.Series(values, dtype="float64")
