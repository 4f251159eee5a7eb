"""What has become of each cell of a sweep."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from iit_lab.results.record import read_result
from iit_lab.sweeps import failures
from iit_lab.sweeps.claim import claimed
from iit_lab.sweeps.folder import INSIDE, cells

STATES = ("done", "running", "queued", "failed", "unfinished")


@dataclass(frozen=True)
class Cell:
    """A cell and what has become of it.

    Args:
        directory: its own.
        state: one of `STATES`; unfinished is one that was stopped, or has not begun.
        note: why it failed.
    """

    directory: Path
    state: str
    note: str = ""


def survey(sweep: Path, waiting: Mapping[str, str]) -> list[Cell]:
    """Every cell of a sweep.

    Args:
        sweep: its directory.
        waiting: what `submissions.waiting` says.
    """
    return [look(directory, waiting) for directory in cells(sweep)]


def look(directory: Path, waiting: Mapping[str, str]) -> Cell:
    """One cell; arguments as in `survey`."""
    if (directory / "result.json").exists():
        try:
            read_result(directory)
        except ValueError as error:
            return Cell(directory, "failed", str(error))
        return Cell(directory, "done")
    owner = directory.parent.parent if directory.parent.name == INSIDE else directory  # of a grid's cells
    if claimed(owner):
        return Cell(directory, "running")
    if owner.name in waiting:
        return Cell(directory, waiting[owner.name])
    failure = failures.read(owner)
    return Cell(directory, "unfinished") if failure is None else Cell(directory, "failed", failure.line)
