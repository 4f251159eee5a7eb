"""All runs of a sweep in one table: which cell, its keys, its metrics, how long it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from iit_lab.results.columns import natural, series
from iit_lab.results.differing import ABSENT, changes, leaves
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
        return self.typed.get(key) if value is ABSENT else value


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
    differing: set[str] = set()
    reference: Mapping[str, Any] | None = None
    unfinished = 0
    for cell in cells(directory):  # one after another: parsing holds the interpreter, threads only slow it
        if not (cell / "result.json").exists():
            unfinished += 1
            continue
        try:
            record = _read(cell)
        except ValueError as error:
            problems.append(" ".join(str(error).split()))
            continue
        reference = record["config"] if reference is None else reference
        changed = {}
        for key, value, outside in changes(reference, record["config"]):
            changed[key] = value
            if not outside:
                differing.add(key)
        seconds = record.get("timing", {}).get("total")
        rows.append(_Row(cell.name, _typed(record["overrides"]), changed, record["metrics"], seconds))
    common = dict(leaves(reference or {}))
    return Collection(_frame(rows, common, _keys(rows, differing)), problems, unfinished)


def _read(cell: Path) -> dict[str, Any]:
    """A record whose parts have the types that the table needs.

    Raises:
        ValueError: if it has not, or as `read_result` does.
    """
    record = read_result(cell)
    record.setdefault("overrides", [])
    kinds = {"config": dict, "metrics": dict, "overrides": list, "timing": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(record.get(name, kind()), kind)]
    if not wrong and not all(isinstance(value, int | float) for value in record["metrics"].values()):
        wrong = ["metrics"]
    if not wrong and not all(isinstance(override, str) for override in record["overrides"]):
        wrong = ["overrides"]
    if wrong:
        raise ValueError(f"{cell / 'result.json'}: {wrong} hold something else than a record's")
    return record


def _typed(overrides: Sequence[str]) -> dict[str, str]:
    """Dotted key -> text of what was typed; a deletion (`~key`) leaves a difference, not a value."""
    pairs = (text.lstrip("+").partition("=") for text in overrides if not text.startswith("~"))
    return {key.replace("/", "."): value for key, _, value in pairs}


def _keys(rows: Sequence[_Row], differing: set[str]) -> list[str]:
    """Typed keys in the order in which they were typed, then the others that differ."""
    typed = dict.fromkeys(key for row in rows for key in row.typed)
    every = [*typed, *sorted(differing - set(typed), key=natural)]
    return [key for key in every if key.partition(".")[0] not in NEVER]


def _frame(rows: Sequence[_Row], common: Mapping[str, Any], keys: Sequence[str]) -> pd.DataFrame:
    """Rows in natural order by the keys."""
    table = sorted(
        (([row.value(key, common) for key in keys], row) for row in rows),
        key=lambda pair: ([natural(value) for value in pair[0]], natural(pair[1].cell)),
    )
    metrics = sorted({name for row in rows for name in row.metrics}, key=natural)
    columns = {CELL: series([row.cell for _, row in table])}
    columns |= {key: series([values[i] for values, _ in table]) for i, key in enumerate(keys)}
    columns |= {name: _numbers([row.metrics.get(name) for _, row in table]) for name in metrics}
    columns[TIME] = _numbers([row.seconds for _, row in table])
    return pd.DataFrame(columns)


def _numbers(values: Sequence[float | None]) -> pd.Series:
    return pd.Series(values, dtype="float64")
