"""What a cell that failed leaves, and the table of failures that ends a sweep."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iit_lab.results.files import read_json, write_json

log = logging.getLogger(__name__)

FAILURES: list["Failure"] = []
"""What this process's launchers have seen fail; the command prints it after Hydra returns."""
FILE = "error.json"
NOT_BEGUN = "was not begun"
NO_RECORD = "ended without a record: killed, out of memory or out of time?"


@dataclass(frozen=True)
class Failure:
    """A cell that failed.

    Args:
        directory: of the cell.
        line: what went wrong.
    """

    directory: Path
    line: str

    @property
    def log(self) -> Path:
        """Where to read more."""
        own = self.directory / "iit_lab.log"
        return own if own.exists() else self.directory / FILE


def record(directory: Path, line: str, traceback: str = "") -> None:
    """Leave `error.json` in a cell; a disk that is full does not hide the error itself."""
    try:
        write_json(
            directory / FILE,
            {"line": line, "traceback": traceback, "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
        )
    except OSError as error:
        log.error("%s: cannot be written (%s)", directory / FILE, error.strerror)


def clear(directory: Path) -> None:
    """Forget an earlier attempt's error."""
    (directory / FILE).unlink(missing_ok=True)


def read(directory: Path) -> Failure | None:
    """The failure that a cell has recorded; None if it has not."""
    if not (directory / FILE).exists():
        return None
    try:
        return Failure(directory, str(read_json(directory / FILE).get("line")))
    except ValueError as error:
        return Failure(directory, str(error))


def table(failures: Iterable[Failure]) -> str:
    """A line per failure under a line of headings: cell, error, log."""
    rows = [("cell", "error", "log"), *((f.directory.name, f.line, str(f.log)) for f in failures)]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"{cell.ljust(widths[0])}  {line.ljust(widths[1])}  {path}" for cell, line, path in rows)
