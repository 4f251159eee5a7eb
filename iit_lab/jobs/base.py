"""What a job gets and what it leaves."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Run:
    """A run that has begun.

    Args:
        config: resolved and checked.
        directory: where everything it leaves goes.
        overrides: as typed on the command line.
    """

    config: DictConfig
    directory: Path
    overrides: tuple[str, ...] = ()

    @property
    def plain(self) -> dict[str, Any]:
        """The config as plain data."""
        container = OmegaConf.to_container(self.config, resolve=True)
        assert isinstance(container, dict)
        return {str(key): value for key, value in container.items()}


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

    @abstractmethod
    def perform(self, run: Run) -> Outcome | None:
        """Do it."""
