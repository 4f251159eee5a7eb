"""Runs on several processes: the same numbers as one, one record, and cells of a sweep that keep apart."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iit_lab.results.record import read_result

RUN = (
    "experiment=equality_iit",
    "job.elsewhere=[]",
    "job.max_epochs=2",
    "job.log_every=1",
    "job.batch_size=61",  # shares of 31 and 30 rows
    "limit.rows=4001",
    "counterfactual.n_test=333",
    "optimizer.lr=0.01",
)
DDP = "hardware=ddp_cpu"


def losses(directory: Path) -> list[float]:
    (file,) = directory.glob("csv/attempt-0/metrics.csv")
    rows = csv.DictReader(file.read_text().splitlines())
    return [float(row["train/loss"]) for row in rows if row["train/loss"]]


def predicted(directory: Path) -> dict:
    return json.loads((directory / "report.json").read_text())


@pytest.mark.slow
def test_two_processes_do_what_one_does(launch, offline_run):
    one = launch(*RUN, "logger=csv", directory="one")
    two = launch(*RUN, "logger=default", DDP, directory="two")
    ours, theirs = losses(one.directory), losses(two.directory)
    assert len(ours) == len(theirs) >= 50
    assert ours[0] != ours[-1]
    assert max(abs(a - b) for a, b in zip(ours[:50], theirs[:50], strict=True)) < 1e-5
    assert one.metrics.keys() == two.metrics.keys()
    assert all(abs(value - two.metrics[name]) < 0.01 for name, value in one.metrics.items())

    counted = predicted(two.directory)
    assert all(counted[name]["macro avg"]["support"] == 333 for name in counted)
    supports = [counted["left_equality"][label]["support"] for label in "01"]
    assert supports == [predicted(one.directory)["left_equality"][label]["support"] for label in "01"]

    found = offline_run(two.directory)
    assert len(found.of("run")) == 1
    assert set(two.metrics) <= found.logged
    assert [path.name for path in two.directory.parent.glob("**/result.json")].count("result.json") == 2
    assert len(list(two.directory.glob("csv/*"))) == 1


@pytest.mark.slow
def test_a_sweep_on_two_processes_with_one_cell_finished(launch, tmp_path):
    """Lightning's own launcher would start the whole sweep again in the second process."""
    cell = ("experiment=equality_das", "debug=fast", "job.min_accuracy=null", "intervention.rank=2", DDP)
    launch("-m", "sweep=both", *cell, "seed=0")
    first = next(tmp_path.glob("outputs/sweeps/both/*seed-0/result.json"))
    before = first.read_bytes()
    output = launch("-m", "sweep=both", *cell, "seed=0,1").output
    assert "2 cells, 1 finished are skipped, 0 are at work elsewhere, 1 to run" in output
    assert first.read_bytes() == before
    found = sorted(path.parent.name for path in tmp_path.glob("outputs/**/result.json"))
    assert len([name for name in found if "seed-" in name]) == 2
    assert len(found) == 4, "two cells and the network of each seed"
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}


@pytest.mark.slow
def test_a_run_on_two_processes_resumes(launch, tmp_path, monkeypatch):
    """Killed in mid-epoch; both processes go on from the checkpoint, with the same numbers."""
    run = (*RUN, "logger=csv", "job.steps_per_call=5", DDP)
    whole = launch(*run, directory="whole")
    (tmp_path / "stop_at.py").write_text(
        "import pytorch_lightning as pl\n"
        "class Stop(pl.Callback):\n"
        "    def on_train_batch_end(self, trainer, *arguments):\n"
        "        if trainer.global_step >= 100 and trainer.is_global_zero:\n"
        "            raise RuntimeError('stopped')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    stop = "+callbacks.stop={_target_: stop_at.Stop}"
    every = "callbacks.checkpoint.every_s=0.000001"
    output = launch(*run, stop, every, directory="stopped", code=1).output
    assert "RuntimeError: stopped (process 0)" in output
    resumed = launch(*run, directory="stopped")
    assert "resuming from" in (resumed.directory / "iit_lab.log").read_text()
    assert resumed.metrics == whole.metrics


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """After kill -9 nobody is left who could write into the run's directory."""
    command = [sys.executable, "-m", "iit_lab.cli", *RUN, "logger=csv", DDP, "job.max_epochs=1000"]
    where = f"hydra.run.dir={tmp_path}/run"
    process = subprocess.Popen([*command, where], cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("run/csv/attempt-0/metrics.csv")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.kill()
    process.wait()
    time.sleep(1)
    assert not [pid for pid in children if _runs(int(pid))]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("alignment.layer=7", "alignment.layer=7: mlp 16-16-16 has layers 0..2"),
        ("hardware.strategy=ddp_spawn", "hardware.strategy=ddp_spawn: starts processes itself; use ddp"),
        ("hardware.devices=0", "hardware.devices=0: at least 1"),
        ("job.batch_size=1", "job.batch_size=1: 2 processes share a batch"),
        ("hardware=ddp", "hardware.devices=2: this machine has"),
    ],
)
def test_mistakes(launch, override, line):
    if override == "hardware=ddp" and os.path.exists("/dev/nvidia1"):
        pytest.skip("this machine has two GPUs")
    launched = launch("experiment=equality_iit", "debug=fast", DDP, override, code=1)
    assert line in launched.output
    assert "Traceback" not in launched.output
    assert not (launched.directory / "result.json").exists()


def test_behaviour_beside_a_subspace_that_has_nothing_to_learn(launch):
    """DDP refuses parameters that take no part in the loss."""
    run = (
        "experiment=equality_iit",
        "debug=fast",
        "objective=behaviour",
        "intervention=rotated",
        "intervention.rank=2",
    )
    run += ("intervention.rank=2",)
    assert launch(*run, DDP, directory="two").metrics.keys() == launch(*run, directory="one").metrics.keys()


def test_evaluation_on_two_processes(launch):
    trained = launch("experiment=equality_iit", "debug=fast", directory="trained")
    evaluate = ("job=evaluate", f"job.run={trained.directory}", "logger=csv", "counterfactual.n_test=77")
    one = launch(*evaluate, directory="one")
    two = launch(*evaluate, DDP, directory="two")
    assert one.metrics == two.metrics
    assert predicted(one.directory) == predicted(two.directory)
    assert read_result(two.directory)["config"]["hardware"]["devices"] == 2
