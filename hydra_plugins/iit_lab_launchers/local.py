"""`hydra/launcher=local`: one cell after another, in this process."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.plugins.launcher import Launcher

from hydra_plugins.iit_lab_launchers.cells import CellLauncher
from iit_lab.sweeps.plan import Cell


class LocalLauncher(CellLauncher):
    """Hydra's basic launcher."""

    def stock(self, todo: Sequence[Cell]) -> Launcher:
        """It works everywhere."""
        return BasicLauncher()
