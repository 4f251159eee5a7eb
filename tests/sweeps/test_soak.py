"""A sweep whose worker is killed again and again ends with the table of an undisturbed one, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iit_lab.results.collect import runs
from iit_lab.results.record import read_result

pytestmark = pytest.mark.slow
KILLS = 10
SWEEP = (
    "-m",
    "sweep=soak",
    "experiment=equality_iit",
    "logger=csv",
    "model.network._target_=dropout_mlp.DropoutMLP",
    "model.network.hidden=[16,16]",
    "alignment.layer=0,1",
    "optimizer.lr=0.001,0.003,0.01",
    "seed=0,1,2,3",
    "job.elsewhere=[]",
    "job.max_epochs=6",
    "job.steps_per_call=5",
    "limit.rows=6000",
    "callbacks.checkpoint.every_s=0.1",
)


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "iit_lab.cli", *SWEEP],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.DEVNULL,
    )


def finished(folder: Path) -> dict[Path, tuple[int, int]]:
    """Records there are, with inode and time of writing."""
    found = {path: path.stat() for path in folder.glob("outputs/sweeps/soak/*/result.json")}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def attempts(sweep: Path) -> int:
    """How often any cell has begun to train."""
    return len(list(sweep.glob("*/csv/attempt-*")))


def test_soak(tmp_path, capsys):
    whole = start(tmp_path / "whole")
    assert whole.wait(timeout=600) == 0

    chance, seen, kills, during = random.Random(0), {}, 0, 0
    disturbed = tmp_path / "disturbed"
    sweep = disturbed / "outputs" / "sweeps" / "soak"
    while kills < KILLS:
        before = attempts(sweep)
        worker = start(disturbed)
        while worker.poll() is None and attempts(sweep) == before:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 3))
        assert worker.poll() is None, "the sweep was over before it had been killed often enough"
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        kills += 1
        during += any(path.with_name(".claim").exists() for path in sweep.glob("*/config.json"))
        now = finished(disturbed)
        assert all(now.get(path) == stamp for path, stamp in seen.items()), "a finished cell was done again"
        seen = now
        assert all(read_result(path.parent) for path in now)
    assert during >= KILLS // 2, "hardly any cell was killed at work"
    assert start(disturbed).wait(timeout=600) == 0
    now = finished(disturbed)
    assert all(now[path] == stamp for path, stamp in seen.items())

    tables = [runs(folder / "outputs" / "sweeps" / "soak") for folder in (tmp_path / "whole", disturbed)]
    ours, theirs = (table.drop(columns="timing/total").to_csv(index=False) for table in tables)
    assert len(tables[0]) == 24
    assert ours == theirs
    logs = [path.read_text() for path in disturbed.glob("outputs/sweeps/soak/*/iit_lab.log")]
    assert all(log.count("record: ") == 1 for log in logs)
    resumed = sum("resuming from" in log for log in logs)
    with capsys.disabled():
        sys.stdout.write(f"\nsoak: {kills} kills, {len(seen)} cells done by then, {resumed} cells resumed\n")
    assert resumed >= 1
