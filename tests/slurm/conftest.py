"""A real SLURM on this machine, and a command line that submits to it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "iit_lab.cli"]


@dataclass(frozen=True)
class Slurm:
    """How to reach it."""

    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout.strip()

    def start(self, *arguments: str, directory: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, directory: Path, code: int = 0) -> str:
        process = self.start(*arguments, directory=directory)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == code, output[-4000:]
        return output

    def until(self, true: Callable[[], object], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"{self.ask('squeue')}\n{self.ask('sinfo')}"
            time.sleep(0.2)


def _reason_to_skip() -> str | None:
    if os.geteuid() != 0:
        return "needs root to start a SLURM of its own"
    if not Path("/usr/bin/apt-get").exists():
        return "needs apt to install a SLURM of its own"
    return None


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """Installed if need be, started with accounting, stopped at the end."""
    if reason := _reason_to_skip():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # pytest's own folders are closed to others, which munge refuses
    root = folder / "root"
    environment = {**os.environ, "SLURM_ROOT": str(root), "SLURM_CPUS": "4", "SLURM_PORT": "26817"}
    for name in ("SLURM_CONF", "CUDA_VISIBLE_DEVICES", "WANDB_API_KEY"):
        environment.pop(name, None)
    up = subprocess.run(
        ["bash", str(HERE / "up.sh")], env=environment, capture_output=True, text=True, timeout=600
    )
    if up.returncode != 0:
        said = up.stderr.strip().splitlines()[-12:]
        if any(word in up.stderr for word in ("apt", "Unable to", "Could not resolve", "dpkg")):
            pytest.skip("SLURM could not be installed: " + " | ".join(said))
        pytest.fail("\n".join(said))
    environment["SLURM_CONF"] = str(root / "slurm.conf")
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
    try:
        yield Slurm(environment)
    finally:
        subprocess.run(["bash", str(HERE / "down.sh"), "--purge"], env=environment, timeout=300)
        shutil.rmtree(folder, ignore_errors=True)
