"""The command line: `iit-lab` is a Hydra application. Heavy imports happen inside it."""

import logging
import sys

import hydra
from omegaconf import DictConfig

from iit_lab.config import conf_dir, register_schema
from iit_lab.sweeps import failures

log = logging.getLogger(__name__)
register_schema()  # also in the processes that launchers start, which import this module to find `run`


def run(config: DictConfig) -> float | None:
    """What Hydra calls with the composed config."""
    from iit_lab.jobs.start import start

    return start(config)


def main() -> None:
    """Entry point of the console script."""
    failures.FAILURES.clear()
    command = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(run)
    try:
        command()
    except KeyboardInterrupt:
        log.error("interrupted; the same command goes on from the last checkpoints")
        sys.exit(130)
    if failures.FAILURES:
        log.error("%d cells failed\n%s", len(failures.FAILURES), failures.table(failures.FAILURES))
        sys.exit(1)


if __name__ == "__main__":
    main()
