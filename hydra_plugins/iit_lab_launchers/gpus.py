"""`hydra/launcher=local_gpus`: one cell per GPU at a time."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.iit_lab_launchers.cells import CellLauncher
from iit_lab.config import ConfigError
from iit_lab.sweeps.gpus import OnOneGpu, find_gpus
from iit_lab.sweeps.plan import Cell


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
        self.task_function = OnOneGpu(task_function, self._ids(), folder)

    def check(self) -> None:
        """There must be a GPU.

        Raises:
            ConfigError: if there is none.
        """
        if not self._ids():
            raise ConfigError(
                "hydra.launcher.gpus=null: no GPU was found here (nvidia-smi, CUDA_VISIBLE_DEVICES); list "
                "their ids, or use hydra/launcher=local_pool"
            )

    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """As many workers as GPUs."""
        from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

        return JoblibLauncher(n_jobs=min(len(self._ids()), len(todo)), prefer="processes")

    def _ids(self) -> tuple[str, ...]:
        return tuple(str(gpu) for gpu in self.gpus) if self.gpus is not None else find_gpus()
