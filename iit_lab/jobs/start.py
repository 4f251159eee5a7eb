"""Where a composed command line arrives: one run, or one cell of a multirun."""

import logging
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from iit_lab.config import ConfigError
from iit_lab.jobs.base import Run
from iit_lab.jobs.cell import chosen, run_cell
from iit_lab.jobs.runner import execute
from iit_lab.sweeps.claim import ClaimedError

log = logging.getLogger(__name__)


def start(config: DictConfig) -> float | None:
    """Run the job of a command line, or of a cell; a mistake in the config is one line and exit code 1."""
    hydra = HydraConfig.get()
    run = Run(config, Path(hydra.runtime.output_dir), tuple(hydra.overrides.task))
    if hydra.mode == RunMode.MULTIRUN:
        return run_cell(run)
    try:
        return chosen(execute(run), config.optimized_metric)
    except (ConfigError, ClaimedError) as error:
        log.error("%s", error)
        sys.exit(1)
