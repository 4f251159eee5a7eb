"""Running the command line inside the test process, where importing torch is already paid for."""

import json
import logging
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from jaxtyping import install_import_hook
from wandb.proto import wandb_internal_pb2

ROOMS = "alignment analysis benchmark causal interop interventions metrics models objectives subspaces tasks"
install_import_hook(  # shapes and types are checked at run time, in tests only
    [f"iit_lab.{room}" for room in [*ROOMS.split(), "training"]],
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


@dataclass(frozen=True)
class OfflineRun:
    """What W&B would send of a run that was offline."""

    records: list[wandb_internal_pb2.Record]

    def of(self, kind: str) -> list[Any]:
        """Records of one kind."""
        return [getattr(record, kind) for record in self.records if record.WhichOneof("record_type") == kind]

    @property
    def logged(self) -> set[str]:
        """Names of everything that was logged."""
        return {item.key or "/".join(item.nested_key) for line in self.of("history") for item in line.item}

    def series(self, name: str) -> list[float]:
        """Everything that was logged under a name, in order."""
        items = (item for line in self.of("history") for item in line.item)
        return [json.loads(i.value_json) for i in items if (i.key or "/".join(i.nested_key)) == name]


@pytest.fixture
def offline_run() -> Callable[[Path], OfflineRun]:
    """Read a run's offline folder: protobuf records in LevelDB's log format after a 7-byte header."""

    def read(directory: Path) -> OfflineRun:
        (file,) = [*directory.glob("wandb/offline-run-*/*.wandb"), *directory.glob("*.wandb")]
        data, block, whole, found, at = file.read_bytes(), 32768, b"", [], 7
        while at + 7 <= len(data):
            if block - at % block < 7:  # no header fits in what is left of a block
                at += block - at % block
                continue
            _, length, kind = struct.unpack("<IHB", data[at : at + 7])
            whole += data[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4):  # a record in one piece, or its last piece
                record = wandb_internal_pb2.Record()
                record.ParseFromString(whole)
                found.append(record)
                whole = b""
        return OfflineRun(found)

    return read
