"""A run on several devices: one process per device, all of which do the same job on shares of the data.

The process that was started from the command line holds the claim, starts the others and waits. They begin
with the run's resolved config: none of them composes anything, and only the first writes into the run's
directory.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from iit_lab.config import ConfigError
from iit_lab.jobs.base import Job, Outcome, Run
from iit_lab.sweeps.gpus import find_gpus

GRACE_S = 10.0


def perform(job: Job, run: Run) -> Outcome | None:
    """Do a run's job, on as many processes as `hardware.devices` says.

    Raises:
        ConfigError: if this machine has fewer devices, or a process found a mistake in the config.
        RuntimeError: if a process failed.
    """
    if run.config.hardware.devices < 1:
        raise ConfigError(f"hardware.devices={run.config.hardware.devices}: at least 1")
    if run.config.hardware.devices == 1 or not job.recorded:
        return job.perform(run)
    _check(run)
    job.prepare(run)
    with tempfile.TemporaryDirectory(prefix="iit_lab-") as folder:
        exchange = Path(folder)
        submission = {
            "config": run.plain,
            "directory": str(run.directory.absolute()),
            "overrides": list(run.overrides),
            "spread": job.spreads(run),
        }
        (exchange / "run.json").write_text(json.dumps(submission))
        processes = _start(exchange, run.config.hardware.devices, spread=job.spreads(run))
        try:
            _wait(processes, exchange)
        finally:
            _stop(processes)
        if job.spreads(run):
            return job.perform(alone(run))  # which finds every part done
        return Outcome(**json.loads((exchange / "outcome.json").read_text()))


def alone(run: Run) -> Run:
    """The run on one device."""
    config = run.config.copy()
    config.hardware.devices, config.hardware.strategy = 1, "auto"
    return replace(run, config=config)


def _check(run: Run) -> None:
    hardware = run.config.hardware
    if any(word in hardware.strategy for word in ("spawn", "fork", "notebook")):
        raise ConfigError(
            f"hardware.strategy={hardware.strategy}: starts processes itself; use ddp, which needs none"
        )
    if hardware.accelerator != "cpu" and torch.accelerator.device_count() < hardware.devices:
        raise ConfigError(
            f"hardware.devices={hardware.devices}: this machine has {torch.accelerator.device_count()}"
        )


def _start(exchange: Path, devices: int, *, spread: bool) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "IIT_LAB_STARTED_BY": str(os.getpid()),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-m", "iit_lab.jobs.process", str(exchange)]
    gpus = find_gpus() if spread else ()
    started = []
    for i in range(devices):
        own = {"IIT_LAB_RANK": str(i), "IIT_LAB_WORLD": str(devices)}
        if not spread:  # Lightning takes a process of another rank than 0 for one that must not log
            own |= {"RANK": str(i), "LOCAL_RANK": str(i), "WORLD_SIZE": str(devices)}
        if i < len(gpus):
            own["CUDA_VISIBLE_DEVICES"] = gpus[i]
        started.append(subprocess.Popen(command, env={**known, **own}))
    return started


def _wait(processes: list[subprocess.Popen[bytes]], exchange: Path) -> None:
    """Until all are done, or one has failed.

    Raises:
        ConfigError: the mistake in the config that the first to fail has found.
        RuntimeError: whatever else it says.
    """
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes):
            break
        time.sleep(0.05)
    if not any(process.poll() for process in processes):
        return
    deadline = time.monotonic() + GRACE_S / 2  # the first to end may only have lost its peer
    while time.monotonic() < deadline and any(process.poll() is None for process in processes):
        time.sleep(0.05)
    errors = [json.loads(path.read_text()) for path in exchange.glob("error-*.json")]
    for error in sorted(errors, key=lambda error: (not error["config"], error["time"])):
        kind = ConfigError if error["config"] else RuntimeError
        raise kind(error["line"])
    failed = [i for i, process in enumerate(processes) if process.poll()]
    codes = ", ".join(f"{i} with code {processes[i].returncode}" for i in failed)
    raise RuntimeError(f"processes ended early: {codes}")


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
