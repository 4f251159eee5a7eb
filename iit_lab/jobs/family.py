"""What jobs about several causal models share: a grid of alignments under each, made on demand."""

from abc import ABC
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iit_lab.config import ConfigError, typed
from iit_lab.jobs import networks
from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.cells import is_grid


@dataclass(frozen=True)
class Family(Job, ABC):
    """A job about the alignments that `job=align alignment=grid` finds under each of several causal models.

    The rest of its config is that of these alignments. Each grid is the run that one would start by hand with
    that causal model, and is used if it is there.

    Args:
        models: causal models by name.
        fit: of the alignments, a node of `job=align`.
        key: the config key that takes a causal model.
        eval_batch_size: rows at once where nothing is trained.
    """

    models: Mapping[str, Any]
    fit: Mapping[str, Any]
    key: str = "task.causal_model"
    eval_batch_size: int = 8192

    def check(self, run: Run) -> None:
        """Refuse what is no family.

        Raises:
            ConfigError: if it has one member or none, or the alignments are no grid.
        """
        if len(self.models) < 2:
            raise ConfigError(f"job.models={list(self.models)}: a family has two causal models or more")
        if not is_grid(run):
            raise ConfigError("alignment: these jobs are about grids of alignments; use alignment=grid")

    def named(self, names: Sequence[str] | None, argument: str) -> list[str]:
        """Members of the family, all of them for None.

        Raises:
            ConfigError: for a name that is not one, or none at all.
        """
        chosen = list(self.models) if names is None else list(names)
        unknown = [name for name in chosen if name not in self.models]
        if unknown or not chosen:
            raise ConfigError(f"job.{argument}={chosen}: one or more of {list(self.models)}")
        return chosen

    def member(self, run: Run, name: str, seed: int | None = None) -> Run:
        """The grid of alignments under one of the causal models.

        Args:
            run: of this job.
            name: of the causal model.
            seed: of alignment and data, and of the network if it follows; None for the run's own.
        """
        plain = deepcopy(run.plain)
        *path, last = self.key.split(".")
        node = plain
        for part in path:
            node = node[part]
        node[last] = deepcopy(dict(self.models[name]))
        if seed is not None:
            _reseed(plain, seed)
        return Run(typed({**plain, "job": deepcopy(dict(self.fit)), "table": None}), run.directory)

    def grid(self, run: Run, name: str, seed: int | None = None) -> Path:
        """The directory of that grid, which is made now if it is not there."""
        label = f"alignments under {name}" if seed is None else f"alignments under {name}, seed {seed}"
        return networks.make(self.member(run, name, seed), label)


def _reseed(plain: dict[str, Any], seed: int) -> None:
    """Another seed for a run; for its network too, unless that has one of its own."""
    if plain["model"]["seed"] == plain["seed"]:
        plain["model"]["seed"] = seed
        for required in plain["requires"].values():
            required["seed"] = required["model"]["seed"] = seed
    plain["seed"] = seed
