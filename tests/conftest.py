"""Running the command line inside the test process, where importing torch is already paid for."""

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from jaxtyping import install_import_hook

ROOMS = "alignment causal interventions metrics models objectives subspaces tasks training"
install_import_hook(  # shapes and types are checked at run time, in tests only
    [f"iit_lab.{room}" for room in ROOMS.split()],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

from iit_lab.cli import main  # noqa: E402
from iit_lab.results.record import read_result  # noqa: E402


@dataclass(frozen=True)
class Launched:
    """A finished command: where it ran, its exit code and what it printed."""

    directory: Path
    code: int
    output: str

    @property
    def result(self) -> dict:
        return read_result(self.directory)

    @property
    def metrics(self) -> dict[str, float]:
        return self.result["metrics"]


Launch = Callable[..., Launched]


@pytest.fixture(autouse=True)
def _leave_no_trace() -> Iterator[None]:
    """Hydra's, torch's and logging's global state are as they were."""
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Launch:
    """`launch("seed=1", directory="run")` is `iit-lab seed=1 hydra.run.dir=run` in a new folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")

    def launch(*arguments: str, directory: str = "run", code: int = 0) -> Launched:
        multirun = "-m" in arguments
        where = [] if multirun else [f"hydra.run.dir={directory}"]
        monkeypatch.setattr(sys, "argv", ["iit-lab", *arguments, *where])
        exit_code = 0
        try:
            main()
        except SystemExit as stop:
            exit_code = stop.code if isinstance(stop.code, int) else 1
        finally:
            GlobalHydra.instance().clear()
        captured = capsys.readouterr()
        output = captured.out + captured.err
        assert exit_code == code, output
        return Launched(tmp_path / directory, exit_code, output)

    return launch
