"""`job=status`: what has become of the cells of a sweep."""

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from iit_lab.config import ConfigError
from iit_lab.jobs.base import Job, Run
from iit_lab.sweeps.folder import find_sweep
from iit_lab.sweeps.states import STATES, Cell, survey
from iit_lab.sweeps.submissions import waiting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status(Job):
    """Show how many cells are done, running, queued, failed and unfinished, and which are not done."""

    recorded: ClassVar[bool] = False

    def perform(self, run: Run) -> None:
        """Look and say."""
        try:
            sweep = find_sweep(run.config.outputs, run.config.sweep)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        try:
            queue = waiting(sweep)
        except RuntimeError as error:
            log.warning("%s: queued cells are shown as unfinished", error)
            queue = {}
        cells = survey(sweep, queue)
        counts = Counter(cell.state for cell in cells)
        lines = [_line(sweep, cell) for cell in cells]
        remaining = [line for line, cell in zip(lines, cells, strict=True) if cell.state != "done"]
        numbers = ", ".join(f"{counts[state]} {state}" for state in STATES)
        log.info("%s", "\n".join([f"sweep {sweep}: {len(cells)} cells: {numbers}", *remaining]))


def _line(sweep: Path, cell: Cell) -> str:
    return f"{cell.state:<11} {cell.directory.relative_to(sweep).as_posix()}  {cell.note}".rstrip()
