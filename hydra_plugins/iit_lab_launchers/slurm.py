"""`hydra/launcher=slurm`: cells as an array of SLURM jobs, through submitit."""

import logging
import shutil
import subprocess
import time
from collections.abc import Sequence

from hydra.plugins.launcher import Launcher

from hydra_plugins.iit_lab_launchers.cells import CellLauncher, plain_parameters
from iit_lab.config import ConfigError
from iit_lab.sweeps import submissions
from iit_lab.sweeps.plan import Cell

log = logging.getLogger(__name__)

COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "sacct")
POLL_S = 5.0
PATIENCE = 60
"""How often in a row the queue may give no answer."""


class SlurmLauncher(CellLauncher):
    """The submitit launcher; the keys are submitit's."""

    def check(self) -> None:
        """There must be a SLURM, and in it the partition.

        Raises:
            ConfigError: if this machine cannot submit.
        """
        missing = [command for command in COMMANDS if shutil.which(command) is None]
        if missing:
            raise ConfigError(
                f"hydra/launcher=slurm: {', '.join(missing)} not found, this machine cannot submit to SLURM; "
                "use hydra/launcher=local or local_pool"
            )
        partition, offered = self.parameters.get("partition"), set(_ask("sinfo", "--noheader", "--format=%R"))
        if partition is not None and not set(partition.split(",")) <= offered:
            raise ConfigError(
                f"hydra.launcher.partition={partition}: this cluster has {', '.join(sorted(offered))}"
            )
        try:
            _ask("sacct", "--noheader", "--allocations", "--starttime=now")
        except ConfigError as error:
            log.warning("%s; without accounting, nobody notices a job that is killed", error)

    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """A submission under a name by which the queue can be asked for its cells."""
        from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as Submitit

        self.submission = submissions.announce(self.sweep, [cell.name for cell in todo])
        return Submitit(**{**plain_parameters(self.parameters), "name": self.submission})

    def after(self, todo: Sequence[Cell]) -> None:
        """Wait for what is left: submitit stops waiting at the first job that dies."""
        silent = 0
        while silent < PATIENCE:
            try:
                if not submissions.waiting(self.sweep, [self.submission]):
                    submissions.withdraw(self.sweep, self.submission)
                    return
                silent = 0
            except RuntimeError as error:
                log.warning("%s", error)
                silent += 1
            time.sleep(POLL_S)

    def interrupted(self) -> None:
        """The jobs are SLURM's."""
        log.info(
            "cells in the queue go on without this command; scancel --name=%s ends them", self.submission
        )


def _ask(*command: str) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"hydra/launcher=slurm: {command[0]} gave no answer for two minutes") from error
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise ConfigError(f"hydra/launcher=slurm: {command[0]} failed ({said})")
    return done.stdout.split()
