"""What a job gets and what it leaves."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig

from iit_lab.config import plain


@dataclass(frozen=True)
class Run:
    """A run that has begun.

    Args:
        config: resolved and checked.
        directory: where everything it leaves goes.
        overrides: as typed on the command line.
        home: of the run, where an earlier attempt's checkpoints are. Where several processes do one run, all
            but the first have a directory of their own, which nobody keeps; None if it is the same.
        part: which part of the run's cells this process does, of how many; all of them by default.
    """

    config: DictConfig
    directory: Path
    overrides: tuple[str, ...] = ()
    home: Path | None = None
    part: tuple[int, int] = (0, 1)

    @property
    def plain(self) -> dict[str, Any]:
        """The config as plain data."""
        return plain(self.config)


@dataclass
class Outcome:
    """What a run found.

    Args:
        metrics: deterministic fractions.
        timing: seconds.
        files: what it left, by role, relative to its directory.
        notes: what a reader of the numbers must know.
    """

    metrics: dict[str, float]
    timing: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Job(ABC):
    """One verb of the command line. A subclass is a frozen dataclass whose fields are the job's own keys.

    `recorded` says whether it leaves a record; a job that only shows something does not.
    """

    recorded: ClassVar[bool] = True

    def effective(self, run: Run) -> Run:
        """The run with the config that counts; a job that reads another run's config merges it in here."""
        return run

    def prepare(self, run: Run) -> None:
        """Find what is wrong with the config, and make what it requires, before processes are started."""
        del run

    def spreads(self, run: Run) -> bool:
        """Whether several devices each do a part of the run's cells, instead of sharing every batch."""
        del run
        return False

    @abstractmethod
    def perform(self, run: Run) -> Outcome | None:
        """Do it; where several processes do one run, each of them does this."""
