"""`hydra/launcher=local_gpus`: one cell per GPU at a time, whoever else uses this machine in the same way."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.iit_lab_launchers.cells import CellLauncher
from iit_lab.config import ConfigError
from iit_lab.sweeps.plan import Cell

log = logging.getLogger(__name__)

_held: list[tuple[str, FileLock]] = []
"""The GPU that this worker process has taken, for as long as it lives."""


class GpuLauncher(CellLauncher):
    """The joblib launcher with one worker per GPU.

    Args:
        gpus: ids; None for all that this machine, or CUDA_VISIBLE_DEVICES, offers.
        lock_folder: where the ids are locked, the same for all who share the machine; None for the
            system's folder of temporary files.
    """

    def __init__(self, gpus: Sequence[int | str] | None = None, lock_folder: str | None = None) -> None:
        super().__init__()
        self.gpus, self.lock_folder = gpus, lock_folder

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """As Hydra asks."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        folder = Path(self.lock_folder or Path(tempfile.gettempdir()) / "iit_lab_gpus")
        ids = tuple(str(gpu) for gpu in self.gpus) if self.gpus is not None else find_gpus()
        self.task_function = OnOneGpu(task_function, ids, folder)

    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """As many workers as GPUs.

        Raises:
            ConfigError: if there is none.
        """
        from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

        assert isinstance(self.task_function, OnOneGpu)
        if not self.task_function.gpus:
            raise ConfigError(
                "hydra.launcher.gpus=null: no GPU was found here (nvidia-smi, CUDA_VISIBLE_DEVICES); list "
                "their ids, or use hydra/launcher=local_pool"
            )
        return JoblibLauncher(n_jobs=min(len(self.task_function.gpus), len(todo)), prefer="processes")


class OnOneGpu:
    """A job that takes a free GPU first, before torch is imported.

    Args:
        job: to run.
        gpus: ids to choose from.
        folder: of the locks.
    """

    def __init__(self, job: TaskFunction, gpus: Sequence[str], folder: Path) -> None:
        self.job, self.gpus, self.folder = job, tuple(gpus), folder

    def __call__(self, config: DictConfig) -> Any:
        """Run the job; a worker keeps its GPU, since torch looks for devices only once."""
        if not _held:
            assert "torch" not in sys.modules, "a GPU must be chosen before torch is imported"
            _held.append(take(self.gpus, self.folder))
            os.environ["CUDA_VISIBLE_DEVICES"] = _held[0][0]
        log.info("on GPU %s", _held[0][0])
        return self.job(config)


def take(gpus: Sequence[str], folder: Path) -> tuple[str, FileLock]:
    """Lock the first GPU that is free; wait if none is. The system frees it when this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for gpu in gpus:
            lock = FileLock(folder / f"{gpu}.lock", mode=0o666)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return gpu, lock
        time.sleep(1.0)


def find_gpus() -> tuple[str, ...]:
    """Ids of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(gpu.strip() for gpu in visible.split(",") if gpu.strip() not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return tuple(done.stdout.split()) if done.returncode == 0 else ()
