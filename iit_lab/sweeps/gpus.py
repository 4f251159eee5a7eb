"""One GPU per worker process, whoever else uses this machine in the same way."""

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

_held: list[tuple[str, FileLock]] = []
"""The GPU that this process has taken, for as long as it lives. Hydra loads its plugins again and again, so
this cannot stand in one."""


class OnOneGpu:
    """A job that takes a free GPU first, before torch is imported.

    Args:
        job: to run.
        gpus: ids to choose from.
        folder: of the locks.
    """

    def __init__(self, job: Callable[[Any], Any], gpus: Sequence[str], folder: Path) -> None:
        self.job, self.gpus, self.folder = job, tuple(gpus), folder

    def __call__(self, config: Any) -> Any:
        """Run the job; a worker keeps its GPU, since torch looks for devices only once."""
        if not _held:
            assert "torch" not in sys.modules, "a GPU must be chosen before torch is imported"
            _held.append(take(self.gpus, self.folder))
            os.environ["CUDA_VISIBLE_DEVICES"] = _held[0][0]
        log.info("on GPU %s", _held[0][0])
        return self.job(config)


def take(gpus: Sequence[str], folder: Path) -> tuple[str, FileLock]:
    """Lock the first GPU that is free; wait if none is. The system frees it when this process ends."""
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o1777)  # other users of the machine lock their GPUs here too
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
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return ()
    return tuple(done.stdout.split()) if done.returncode == 0 else ()
