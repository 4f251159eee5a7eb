"""What every launcher of ours does before and after the stock launcher runs what is left of a sweep."""

import logging
import re
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from iit_lab.config import ConfigError, plain
from iit_lab.results import superseded
from iit_lab.results.record import OUTSIDE, read_result
from iit_lab.sweeps import failures, states, submissions
from iit_lab.sweeps.names import cell_name
from iit_lab.sweeps.plan import Cell, prepare

log = logging.getLogger(__name__)


class CellLauncher(Launcher):
    """Composes each cell, writes its `config.json`, drops finished and queued cells, hands on the rest.

    A subclass names the stock launcher.

    Args:
        parameters: of the stock launcher.
    """

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def check(self) -> None:
        """Refuse what this machine cannot do, before anything is written.

        Raises:
            ConfigError: naming the launcher's key.
        """
        return

    @abstractmethod
    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """The stock launcher that is to run these cells."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """As Hydra asks."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    @property
    def sweep(self) -> Path:
        """Directory of the sweep."""
        return Path(str(self.config.hydra.sweep.dir))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run what is left of these cells; one return per cell, finished ones with what they recorded."""
        try:
            cells = [self._compose(overrides) for overrides in job_overrides]
            self._check_names(cells)
            self.check()
            waiting = submissions.waiting(self.sweep)
            todo, done = prepare(cells, waiting, rerun=bool(self.config.rerun))
            stock = self.stock(todo) if todo else None
        except ConfigError as error:
            log.error("%s", error)
            sys.exit(1)
        except (ValueError, RuntimeError, OSError) as error:
            log.error("sweep=%s: %s", self.sweep.name, error)
            sys.exit(1)
        log.info(
            "sweep %s: %d cells, %d finished are skipped, %d are at work elsewhere, %d to run",
            self.sweep,
            len(cells),
            len(done),
            len(cells) - len(done) - len(todo),
            len(todo),
        )
        if stock is not None:
            self._run(stock, todo, initial_job_idx)
        return [self._return(cell) for cell in cells]

    def after(self, todo: Sequence[Cell]) -> None:
        """Called when the stock launcher has returned or raised."""
        del todo

    def interrupted(self) -> None:
        """Called on Ctrl-C, to say what goes on by itself."""
        return

    def _run(self, stock: Launcher, todo: Sequence[Cell], initial_job_idx: int) -> None:
        stock.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
        overrides = [[*cell.overrides, f"hydra.sweep.subdir={cell.name}"] for cell in todo]
        try:
            try:
                for cell, returned in zip(todo, stock.launch(overrides, initial_job_idx), strict=True):
                    if returned.status == JobStatus.FAILED:  # before it came to our own code
                        failures.record(cell.directory, describe(returned._return_value))
            except Exception as error:  # a worker that died; the cells' own records say what became of them
                log.error("%s", describe(error))
            self.after(todo)
        except KeyboardInterrupt:
            self.interrupted()
            raise
        for cell in todo:
            if not cell.directory.exists():  # a job that only shows something
                continue
            if failed := failures.read(cell.directory):
                failures.FAILURES.append(failed)
            elif states.look(cell.directory, {}).state in ("failed", "unfinished"):
                begun = not superseded.untouched(cell.directory)
                line = failures.NO_RECORD if begun else failures.NOT_BEGUN
                failures.FAILURES.append(failures.Failure(cell.directory, line))
                if not begun:
                    superseded.put_back(cell.directory)

    def _compose(self, overrides: Sequence[str]) -> Cell:
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            del composed["hydra"]
        kept = tuple(overrides)
        if composed.sweep is None and re.fullmatch(r"[\w.-]+", self.sweep.name):
            composed.sweep = self.sweep.name
            kept = (*kept, f"sweep={self.sweep.name}")
        without = {*OUTSIDE, *([] if self._sweeps_over("experiment") else ["experiment"])}
        return Cell(self.sweep / cell_name(overrides, without), kept, plain(composed))

    def _sweeps_over(self, key: str) -> bool:
        typed = OverridesParser.create().parse_overrides(list(self.config.hydra.overrides.task))
        return any(override.key_or_group == key and override.is_sweep_override() for override in typed)

    def _check_names(self, cells: Sequence[Cell]) -> None:
        seen: dict[str, Cell] = {}
        for cell in cells:
            other = seen.setdefault(cell.name, cell)
            if other.overrides != cell.overrides and other.config != cell.config:
                raise ConfigError(
                    f"{' '.join(cell.overrides)}: would share the directory {cell.name} with "
                    f"{' '.join(other.overrides)}; sweep over something that changes what is computed"
                )

    def _return(self, cell: Cell) -> JobReturn:
        wanted = self.config.optimized_metric
        value = None
        if wanted is not None and (cell.directory / "result.json").exists():
            value = read_result(cell.directory)["metrics"].get(wanted)
        config = OmegaConf.create(dict(cell.config))
        return JobReturn(
            overrides=list(cell.overrides), cfg=config, _return_value=value, status=JobStatus.COMPLETED
        )


def describe(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A launcher's keys as plain data."""
    container = OmegaConf.to_container(OmegaConf.create(dict(parameters)), resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
