"""`hydra/launcher=local_pool`: several cells at once on one machine, each in a process of its own."""

from collections.abc import Sequence

from hydra.plugins.launcher import Launcher

from hydra_plugins.iit_lab_launchers.cells import CellLauncher, plain_parameters
from iit_lab.config import ConfigError
from iit_lab.sweeps.plan import Cell


class PoolLauncher(CellLauncher):
    """The joblib launcher; the keys are joblib's."""

    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """A pool no larger than what is to be done.

        Raises:
            ConfigError: if `n_jobs` is 0.
        """
        from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

        parameters = plain_parameters(self.parameters)
        if parameters["n_jobs"] == 0:
            raise ConfigError("hydra.launcher.n_jobs=0: at least 1 process, or -1 for one per core")
        return JoblibLauncher(**parameters)
