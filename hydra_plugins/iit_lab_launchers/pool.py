"""`hydra/launcher=local_pool`: several cells at once on one machine, each in a process of its own."""

from collections.abc import Sequence

from hydra.plugins.launcher import Launcher

from hydra_plugins.iit_lab_launchers.cells import CellLauncher, plain_parameters
from iit_lab.config import ConfigError
from iit_lab.sweeps.plan import Cell


class PoolLauncher(CellLauncher):
    """The joblib launcher; the keys are joblib's."""

    def check(self) -> None:
        """There must be somebody to do the work.

        Raises:
            ConfigError: if `n_jobs` is 0.
        """
        if self.parameters["n_jobs"] == 0:
            raise ConfigError("hydra.launcher.n_jobs=0: at least 1 process, or -1 for one per core")

    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """A pool of processes."""
        from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

        return JoblibLauncher(**plain_parameters(self.parameters))
