"""`job=collect`: all runs of a sweep in one table, and their means over seeds in another."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.sweep_runs import read_runs, sweep_folder
from iit_lab.results.files import replacing
from iit_lab.results.groups import keys, labels, metrics, summarise

log = logging.getLogger(__name__)

SHOWN = 10
"""Rows of the summary that are logged."""
HEADLINE = "test/iia"


@dataclass(frozen=True)
class Collect(Job):
    """Write `runs` and `summary`, as CSV and Parquet, into the sweep's `tables/`."""

    recorded: ClassVar[bool] = False

    def perform(self, run: Run) -> None:
        """Read, write, and show the summary's first rows."""
        folder = sweep_folder(run)
        frame = read_runs(folder).frame
        summary = summarise(frame)
        for name, table in (("runs", frame), ("summary", summary)):
            write(folder / "tables", name, table)
        if not frame.empty:
            log.info("%s", head(summary, frame))
        log.info("tables: %s", folder / "tables")


def write(directory: Path, name: str, table: pd.DataFrame) -> None:
    """Write `<name>.csv` and `<name>.parquet`."""
    with replacing(directory / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False)
    with replacing(directory / f"{name}.parquet") as temporary:
        table.to_parquet(temporary, index=False)


def head(summary: pd.DataFrame, frame: pd.DataFrame) -> str:
    """The summary's first rows: keys that differ, and one metric, for there may be dozens."""
    names = metrics(frame)
    metric = [HEADLINE] if HEADLINE in names else names[:1]
    differing = [key for key in keys(frame) if key in summary and len(set(labels(summary, key))) > 1]
    columns = [*differing, *(f"{name}/{part}" for name in metric for part in ("mean", "std")), "runs"]
    return summary[columns].head(SHOWN).round(4).to_string(index=False, na_rep="-")
