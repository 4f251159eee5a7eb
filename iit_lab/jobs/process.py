"""One of the processes of a run on several devices: `python -m iit_lab.jobs.process FOLDER`."""

import ctypes
import json
import logging
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.distributed as dist

from iit_lab.config import ConfigError, typed
from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.build import build
from iit_lab.jobs.processes import alone
from iit_lab.jobs.targets import at

log = logging.getLogger(__name__)


def main(exchange: Path) -> int:
    """Do the run that `exchange/run.json` describes; 1 if it failed."""
    rank = int(os.environ["IIT_LAB_RANK"])
    _end_with_parent()
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO if rank == 0 else logging.ERROR,
        format="[%(asctime)s] %(message)s",
        datefmt="%H:%M:%S",
    )
    try:
        with tempfile.TemporaryDirectory(prefix="iit_lab-") as scratch:
            _perform(exchange, rank, Path(scratch))
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        wrong = isinstance(error, ConfigError)
        line = first if wrong else f"{type(error).__name__}: {first} (process {rank})"
        said = {"line": line, "config": wrong, "time": time.time()}
        (exchange / f"error-{rank}.json").write_text(json.dumps(said))
        if not wrong:
            log.exception("process %d", rank)
        return 1


def _perform(exchange: Path, rank: int, scratch: Path) -> None:
    submission = json.loads((exchange / "run.json").read_text())
    config, home = typed(submission["config"]), Path(submission["directory"])
    run = Run(config, home if rank == 0 else scratch, tuple(submission["overrides"]), home)
    if rank == 0:
        handler = logging.FileHandler(home / "iit_lab.log")
        handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
        logging.getLogger().addHandler(handler)
    with at("job"):
        job: Job = build(config.job)
    if submission["spread"]:
        job.perform(replace(alone(run), directory=home, part=(rank, int(os.environ["IIT_LAB_WORLD"]))))
        return
    on_gpu = config.hardware.accelerator != "cpu"
    if on_gpu:
        torch.accelerator.set_device_index(rank)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        outcome = job.perform(run)
    finally:
        dist.destroy_process_group()
    if rank == 0:
        assert outcome is not None
        (exchange / "outcome.json").write_text(json.dumps(asdict(outcome)))


def _end_with_parent() -> None:
    """A process whose starter is killed must not go on writing; and a requeue is the starter's business."""
    for queue in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(queue, signal.SIG_IGN)
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
    if os.getppid() != int(os.environ["IIT_LAB_STARTED_BY"]):  # it was gone before the kernel was told
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
