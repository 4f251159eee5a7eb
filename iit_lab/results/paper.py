"""Tables of papers: which runs they are of, what was published, and ours beside it.

Adding a table is one yaml in `conf/table`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any, Literal

from iit_lab.results.columns import text
from iit_lab.results.groups import SEED, is_averaged
from iit_lab.results.record import differences, read_result
from iit_lab.sweeps.folder import cells

STATISTICS = {"mean": mean, "median": median, "max": max, "min": min}


@dataclass(frozen=True)
class Sweep:
    """Runs of a table.

    Args:
        overrides: what one would type after `iit-lab -m`.
        seeds: of the runs.
    """

    overrides: Sequence[str]
    seeds: Sequence[int]


@dataclass(frozen=True)
class Line:
    """A row or a column.

    Args:
        label: what it is called.
        run: whose runs it is about; a row's or its column's.
        where: dotted key -> value that their configs have.
        metric: of their records; None for the table's. `{name}` in it stands for what `names` says.
        names: what is put into the metric's name.
        published: of a row, the published number for each column, None where there is none.
        tolerance: of a row, the largest difference that is as expected; None for the table's.
        statistic: of a row, over seeds; None for the table's.
    """

    label: str
    run: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    metric: str | None = None
    names: Mapping[str, Any] = field(default_factory=dict)
    published: Sequence[float | None] | None = None
    tolerance: float | None = None
    statistic: str | None = None


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper, as `conf/table` describes it.

    Args:
        name: part of its sweeps' names and of its folder.
        caption: what it shows.
        source: where the published numbers are from.
        runs: sweeps by name.
        rows: see `Line`.
        columns: see `Line`.
        metric: of the runs' records.
        statistic: over seeds; what is compared with the published number.
        tolerance: the largest difference that is as expected.
        over: keys, or last parts of keys, to average over.
        minutes: what making all runs takes on two CPU cores.
        notes: what a reader must know.

    Raises:
        ValueError: for a row or column that does not fit.
    """

    name: str
    caption: str
    source: str
    runs: Mapping[str, Any]
    rows: Sequence[Any]
    columns: Sequence[Any]
    metric: str = "test/iia"
    statistic: Literal["mean", "median", "max", "min"] = "mean"
    tolerance: float = 0.05
    over: Sequence[str] = SEED
    minutes: float = 0.0
    notes: str = ""

    def __post_init__(self) -> None:
        for name, run in self.runs.items():
            object.__setattr__(self, "runs", {**self.runs, name: _bound(Sweep, f"runs.{name}", run)})
        for kind in ("rows", "columns"):
            lines = [_bound(Line, f"{kind}[{i}]", line) for i, line in enumerate(getattr(self, kind))]
            object.__setattr__(self, kind, tuple(lines))
        for i, row in enumerate(self.rows):
            if len(row.published or ()) not in (0, len(self.columns)):
                raise ValueError(
                    f"rows[{i}].published={list(row.published or ())}: there are {len(self.columns)} columns"
                )
            if row.statistic is not None and row.statistic not in STATISTICS:
                raise ValueError(f"rows[{i}].statistic={row.statistic}: one of {list(STATISTICS)}")
            for column in self.columns:
                run = column.run or row.run
                if run not in self.runs:
                    raise ValueError(f"rows[{i}].run={run}: the table has runs {sorted(self.runs)}")


def _bound(kind: type, path: str, given: Any) -> Any:
    if isinstance(given, kind):
        return given
    known = [each.name for each in fields(kind)]
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        raise ValueError(f"{path}={given}: has {known}")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{path}={given}: {error}") from error


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Args:
        row: its label.
        column: its label.
        metric: what it is.
        values: ours, one per run that is averaged over.
        published: the paper's, if it has one.
        ours: the statistic over seeds; None where there are no runs.
        tolerance: the largest difference that is as expected.
    """

    row: str
    column: str
    metric: str
    values: tuple[float, ...]
    published: float | None
    ours: float | None
    tolerance: float

    @property
    def within(self) -> bool | None:
        """Whether ours is as near as expected; None where there is nothing to compare."""
        if self.ours is None or self.published is None:
            return None
        return abs(self.ours - self.published) <= self.tolerance + 1e-12

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds, of a sample."""
        return stdev(self.values) if len(self.values) > 1 else None


def entries(
    table: PaperTable, folders: Mapping[str, Path], seeds: Sequence[int] | None = None
) -> list[Entry]:
    """Every number of a table, row by row.

    Args:
        table: what to fill.
        folders: of the sweeps, by the names of the table's runs.
        seeds: whose runs count; None for the table's own.

    Raises:
        ValueError: for a metric that the runs do not have, or a row that runs of several kinds fit.
    """
    records = {
        name: _records(folder, table.runs[name].seeds if seeds is None else seeds)
        for name, folder in folders.items()
    }
    found = []
    for i, row in enumerate(table.rows):
        for j, column in enumerate(table.columns):
            path = f"rows[{i}], columns[{j}]"
            metric = _metric(row.metric or column.metric or table.metric, {**column.names, **row.names}, path)
            where = {**column.where, **row.where}
            fitting = _fitting(records[column.run or row.run], where, table.over, path)
            values = tuple(_value(record, metric, path) for record in fitting)
            published = row.published[j] if row.published else None
            tolerance = table.tolerance if row.tolerance is None else row.tolerance
            statistic = STATISTICS[row.statistic or table.statistic]
            ours = statistic(values) if values else None
            found.append(Entry(row.label, column.label, metric, values, published, ours, tolerance))
    return found


def _metric(template: str, names: Mapping[str, Any], path: str) -> str:
    try:
        return template.format(**names)
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{path}.metric={template}: {error} is not in names={dict(names)}") from None


def _records(folder: Path, seeds: Sequence[int]) -> list[Mapping[str, Any]]:
    """Finished runs of the given seeds, each once."""
    there = cells(folder) if folder.is_dir() else []
    found = (read_result(cell) for cell in there if (cell / "result.json").exists())
    kept = (record for record in found if record["config"]["seed"] in set(seeds))
    return list({record["fingerprint"]: record for record in kept}.values())


def _fitting(
    records: Sequence[Mapping[str, Any]], where: Mapping[str, Any], over: Sequence[str], path: str
) -> list[Mapping[str, Any]]:
    """Records with the wanted config, which may differ in nothing else but what is averaged over."""
    fitting = [
        record
        for record in records
        if all(text(_at(record["config"], key)) == text(value) for key, value in where.items())
    ]
    others = {
        key
        for record in fitting[1:]
        for key in differences(fitting[0]["config"], record["config"])
        if not is_averaged(key, over)
    }
    if others:
        raise ValueError(
            f"{path}: fits runs that differ in {sorted(others)[:4]}; name these in where or over"
        )
    return fitting


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def _value(record: Mapping[str, Any], metric: str, path: str) -> float:
    if metric not in record["metrics"]:
        raise ValueError(f"{path}.metric={metric}: the runs have {sorted(record['metrics'])}")
    return record["metrics"][metric]
