"""Sweeps from the command line: what is run, skipped, refused, and what a failure leaves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iit_lab.results.record import fingerprint, read_result
from iit_lab.sweeps import failures
from iit_lab.sweeps.claim import claim, claimed

CELL = ("experiment=equality_iit", "debug=fast", "job.elsewhere=[]", "limit.steps=3", "limit.rows=64")
SWEEP = ("-m", "sweep=mine", *CELL)
COMMAND = [sys.executable, "-m", "iit_lab.cli"]


def cells(folder: Path) -> dict[int, Path]:
    """Seed -> directory."""
    found = (path.parent for path in folder.glob("outputs/sweeps/mine/*/config.json"))
    return {json.loads((path / "config.json").read_text())["config"]["seed"]: path for path in found}


def counted(output: str) -> tuple[int, ...]:
    """Cells in all, finished, at work elsewhere, to run."""
    found = re.search(
        r"(\d+) cells, (\d+) finished are skipped, (\d+) are at work elsewhere, (\d+) to run", output
    )
    assert found, output
    return tuple(map(int, found.groups()))


def test_the_same_command_again_runs_only_what_is_unfinished(launch, tmp_path):
    assert counted(launch(*SWEEP, "seed=0,1").output) == (2, 0, 0, 2)
    assert all(
        re.fullmatch(r"elsewhere-_rows-64_seed-[01]-[0-9a-f]{8}|.*", path.name)
        for path in cells(tmp_path).values()
    )
    before = (cells(tmp_path)[0] / "result.json").read_bytes()
    assert counted(launch(*SWEEP, "seed=0,1,2").output) == (3, 2, 0, 1)
    assert (cells(tmp_path)[0] / "result.json").read_bytes() == before


def test_a_change_of_loggers_or_hardware_invalidates_nothing(launch):
    launch(*SWEEP, "seed=0")
    assert counted(
        launch(*SWEEP, "seed=0", "hardware.threads=2", "callbacks.checkpoint.every_s=9").output
    ) == (1, 1, 0, 0)


def test_a_cell_that_fails_does_not_stop_the_others(launch, tmp_path):
    output = launch(*SWEEP, "seed=0,1", "alignment.layer=7,1", code=1).output
    assert "Traceback" not in output
    table = output[output.index("2 cells failed") :].splitlines()
    assert table[1].split() == ["cell", "error", "log"]
    for line in table[2:4]:
        assert re.fullmatch(
            r"layer-7\S+ +alignment.layer=7: mlp 16-16-16 has layers 0..2 +\S+iit_lab.log", line
        )
    assert len(list(tmp_path.glob("outputs/sweeps/mine/layer-1*/result.json"))) == 2
    again = launch(*SWEEP, "seed=0,1", "alignment.layer=7,1", code=1).output
    assert counted(again) == (4, 2, 0, 2)


def test_an_error_in_a_cell_is_kept_with_its_traceback(launch, tmp_path):
    launch(*SWEEP, "seed=0", "optimizer.lr=-1", code=1)
    error = json.loads((cells(tmp_path)[0] / "error.json").read_text())
    assert error["line"] == "optimizer: Invalid learning rate: -1"
    assert "Traceback" in error["traceback"]
    launch(*SWEEP, "seed=0", "optimizer.lr=-1", code=1)
    assert failures.read(cells(tmp_path)[0]) is not None


def test_a_finished_cell_of_another_config_is_refused(launch, tmp_path):
    launch(*SWEEP, "experiment=equality_iit", "seed=0")
    folder = tmp_path / "my_conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "equality_iit_2.yaml").write_text(
        "# @package _global_\ndefaults:\n  - equality_iit\n  - _self_\noptimizer:\n  lr: 0.5\n"
    )
    changed = ("-m", "-cd", str(tmp_path / "my_conf"), "sweep=mine", "experiment=equality_iit_2", *CELL[1:])
    before = (cells(tmp_path)[0] / "result.json").read_bytes()
    output = launch(*changed, "seed=0,1", code=1).output
    assert "sweep=mine: " in output and "optimizer.lr (0.001 -> 0.5); name another sweep" in output
    assert list(cells(tmp_path)) == [0]
    assert (cells(tmp_path)[0] / "result.json").read_bytes() == before
    launch(*changed, "seed=0", "rerun=true")
    assert read_result(cells(tmp_path)[0])["config"]["optimizer"]["lr"] == 0.5
    assert counted(launch(*changed, "seed=0").output) == (1, 1, 0, 0)


def test_experiments_that_are_swept_over_are_part_of_the_name(launch, tmp_path):
    launch("-m", "sweep=mine", "experiment=equality_iit,equality_handcrafted", *CELL[1:2])
    names = {path.parent.name for path in tmp_path.glob("outputs/sweeps/mine/*/result.json")}
    assert names == {"debug-fast_experiment-equality_iit", "debug-fast_experiment-equality_handcrafted"}


def test_cells_that_would_compute_the_same_are_refused(launch, tmp_path):
    output = launch(*SWEEP, "hardware.threads=1,2", code=1).output
    assert (
        "hardware.threads=2: would share the directory" in output
        and "sweep over something that changes what is computed" in output
    )
    assert not list(tmp_path.glob("outputs/sweeps/mine/*/config.json"))


def test_a_cell_that_runs_elsewhere_is_left_alone(launch, tmp_path):
    launch(*SWEEP, "seed=0")
    (cells(tmp_path)[0] / "result.json").unlink()
    with claim(cells(tmp_path)[0]):
        assert counted(launch(*SWEEP, "seed=0").output) == (1, 0, 1, 0)
    assert not (cells(tmp_path)[0] / "result.json").exists()


def test_a_cell_runs_as_submitted(launch, tmp_path):
    """Its config.json counts, not what its overrides compose to by now."""
    launch(*SWEEP, "seed=0")
    (cell,) = cells(tmp_path).values()
    recorded = json.loads((cell / "config.json").read_text())
    (cell / "result.json").unlink()
    recorded["config"]["optimizer"]["lr"] = 0.25
    recorded["fingerprint"] = fingerprint(recorded["config"])
    (cell / "config.json").write_text(json.dumps(recorded))
    run = ("-m", *CELL, "seed=0", f"hydra.sweep.dir={cell.parent}", f"hydra.sweep.subdir={cell.name}")
    output = launch(*run, "hydra/launcher=basic").output
    assert "conf/ has changed since this cell was submitted (optimizer.lr); it runs as submitted" in output
    assert read_result(cell)["config"]["optimizer"]["lr"] == 0.25


def test_a_planted_config_builds_nothing(launch, tmp_path):
    launch(*SWEEP, "seed=0")
    (cell,) = cells(tmp_path).values()
    recorded = json.loads((cell / "config.json").read_text())
    (cell / "result.json").unlink()
    recorded["config"]["task"] = {"_target_": "os.system", "command": f"touch {tmp_path}/owned"}
    (cell / "config.json").write_text(json.dumps(recorded))
    run = ("-m", *CELL, "seed=0", f"hydra.sweep.dir={cell.parent}", f"hydra.sweep.subdir={cell.name}")
    assert "task._target_=os.system: not allowed" in launch(*run, "hydra/launcher=basic").output
    assert not (tmp_path / "owned").exists()
    assert not (cell / "result.json").exists()


def test_a_pool(launch, tmp_path):
    pool = ("hydra/launcher=local_pool", "hydra.launcher.n_jobs=2")
    assert counted(launch(*SWEEP, *pool, "seed=0,1,2", "alignment.layer=1,7", code=1).output) == (6, 0, 0, 6)
    assert len(list(tmp_path.glob("outputs/sweeps/mine/*/result.json"))) == 3
    assert (
        "hydra.launcher.n_jobs=0: at least 1"
        in launch(*SWEEP, pool[0], "hydra.launcher.n_jobs=0", code=1).output
    )


def test_one_cell_per_gpu(launch, tmp_path):
    """Two pretended GPUs, four cells: each worker takes one, and nobody shares."""
    gpus = (
        "hydra/launcher=local_gpus",
        "hydra.launcher.gpus=[5,7]",
        f"hydra.launcher.lock_folder={tmp_path}/gpus",
    )
    watch = "+callbacks.watch={_target_: watch_gpu.Watch, _partial_: true}"
    (tmp_path / "watch_gpu.py").write_text(
        "import os, time, pytorch_lightning as pl\n"
        "class Watch(pl.Callback):\n"
        "    def __init__(self, directory): self.directory = directory\n"
        "    def on_fit_start(self, *arguments):\n"
        "        begin = time.time(); time.sleep(1)\n"
        "        text = f\"{os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()} {begin} {time.time()}\"\n"
        "        (self.directory / 'gpu').write_text(text)\n"
    )
    done = subprocess.run(
        [*COMMAND, *SWEEP, *gpus, watch, "seed=0,1,2,3"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = [(path / "gpu").read_text().split() for path in cells(tmp_path).values()]
    assert {gpu for gpu, *_ in seen} == {"5", "7"}
    spans = sorted((gpu, float(begin), float(end)) for gpu, _, begin, end in seen)
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in zip(spans, spans[1:], strict=False))
    assert len({(gpu, worker) for gpu, worker, *_ in seen}) == 2


def test_without_gpus_the_launcher_says_so(launch, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert (
        "hydra.launcher.gpus=null: no GPU was found here"
        in launch(*SWEEP, "hydra/launcher=local_gpus", code=1).output
    )


def test_without_slurm_the_launcher_says_so(launch, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    output = launch(*SWEEP, "hydra/launcher=slurm", code=1).output
    assert "hydra/launcher=slurm: sbatch, srun, squeue, scontrol, sacct not found" in output
    assert not list(tmp_path.glob("outputs/sweeps/mine/*/result.json"))


def test_a_launcher_that_cannot_run_harms_nothing(launch, tmp_path, monkeypatch):
    launch(*SWEEP, "seed=0")
    before = {path: path.read_bytes() for path in cells(tmp_path)[0].iterdir() if path.is_file()}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    launch(*SWEEP, "seed=0", "rerun=true", "hydra/launcher=local_gpus", code=1)
    launch(*SWEEP, "seed=0", "rerun=true", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=0", code=1)
    assert {path: path.read_bytes() for path in cells(tmp_path)[0].iterdir() if path.is_file()} == before


def test_a_rerun_that_is_refused_leaves_the_record_it_had(launch, tmp_path):
    launch(*SWEEP, "seed=0")
    before = {path: path.read_bytes() for path in cells(tmp_path)[0].iterdir() if path.is_file()}
    wrong = ("rerun=true", "callbacks.checkpoint.every_s=-1")
    output = launch(*SWEEP, "seed=0", *wrong, code=1).output
    assert re.search(
        r"1 cells failed\n.*\n\S+ +callbacks.checkpoint.every_s=-1(\.0)?: must be above 0", output
    )
    after = {path: path.read_bytes() for path in before if path.name != "iit_lab.log"}
    assert after == {path: content for path, content in before.items() if path.name != "iit_lab.log"}
    assert not (cells(tmp_path)[0] / "superseded").exists()
    single = cells(tmp_path)[0].parent / "single"
    launch(*CELL, directory=str(single))
    record = (single / "result.json").read_bytes()
    launch(*CELL, *wrong, directory=str(single), code=1)
    assert (single / "result.json").read_bytes() == record


def test_a_rerun_that_cannot_be_submitted_leaves_the_record_it_had(launch, tmp_path, monkeypatch):
    """A SLURM whose sbatch refuses, as for an unknown account."""
    launch(*SWEEP, "seed=0")
    record = (cells(tmp_path)[0] / "result.json").read_bytes()
    for command in ("sbatch", "srun", "squeue", "scontrol", "sacct", "sinfo"):
        script = tmp_path / "bin" / command
        script.parent.mkdir(exist_ok=True)
        refuse = "echo Invalid account >&2; exit 1" if command == "sbatch" else "exit 0"
        script.write_text(f"#!/bin/sh\n{refuse}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    output = launch(*SWEEP, "seed=0", "rerun=true", "hydra/launcher=slurm", code=1).output
    assert "Invalid account" in output and "was not begun" in output
    assert "Traceback" not in output
    assert (cells(tmp_path)[0] / "result.json").read_bytes() == record


def test_a_rerun_leaves_nothing_of_the_run_before(launch, tmp_path):
    launch(*SWEEP, "seed=0")
    (cell,) = cells(tmp_path).values()
    (cell / "network.json").rename(cell / "left_over.json")
    launch(*SWEEP, "seed=0", "rerun=true")
    assert not (cell / "left_over.json").exists() and not (cell / "superseded").exists()
    assert read_result(cell)["metrics"]


def test_a_job_that_only_shows_something_leaves_no_cells(launch, tmp_path):
    output = launch("-m", "sweep=mine", "job=sites", "model.network.hidden=[3],[4]").output
    assert output.count("layer0.block_output") == 2
    assert cells(tmp_path) == {}


def test_two_sweeps_without_a_name_in_the_same_second(launch, tmp_path):
    for _ in range(2):
        launch("-m", *CELL, "seed=0")
    sweeps = sorted(path.name for path in (tmp_path / "outputs" / "sweeps").iterdir())
    assert len(sweeps) == 2 and "None" not in "".join(sweeps)
    (cell,) = tmp_path.glob(f"outputs/sweeps/{sweeps[0]}/*/result.json")
    assert read_result(cell.parent)["config"]["sweep"] == sweeps[0]


@pytest.mark.parametrize("name", ["a/b", "..", "a b"])
def test_a_sweep_s_name_is_a_folder_s_name(launch, name):
    assert f"sweep={name}: is a folder's name" in launch("-m", f"sweep='{name}'", *CELL, code=1).output


def test_status(launch, tmp_path):
    launch(*SWEEP, "seed=0,1,2", code=0)
    (cells(tmp_path)[1] / "result.json").unlink()
    (cells(tmp_path)[2] / "result.json").unlink()
    failures.record(cells(tmp_path)[2], "it broke")
    output = launch("job=status", "sweep=mine").output
    assert "3 cells: 1 done, 0 running, 0 queued, 1 failed, 1 unfinished" in output
    assert re.search(r"failed +\S+  it broke", output)
    assert (
        "sweep=yours: there is no such sweep in outputs/sweeps; there are: mine"
        in launch("job=status", "sweep=yours", code=1).output
    )
    assert "sweep=null: name the sweep" in launch("job=status", code=1).output


def test_the_metric_to_optimise_must_exist(launch, tmp_path):
    assert (
        "optimized_metric=test/nothing: the run has "
        in launch(*CELL, "optimized_metric=test/nothing", code=1).output
    )


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a tmpfs")
def test_a_full_disk(launch, tmp_path):
    """The cell fails with a line of its own, nothing half-written counts, and with room it is done."""
    small = tmp_path / "outputs"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        filler = small / "filler"
        launch(*SWEEP, "seed=0")
        room = sum(path.stat().st_size for path in cells(tmp_path)[0].rglob("*"))
        free = shutil.disk_usage(small).free
        filler.write_bytes(b"0" * max(0, free - room // 3))
        output = launch(*SWEEP, "seed=0,1", code=1).output
        assert "No space left on device" in output
        assert read_result(cells(tmp_path)[0])["metrics"]
        assert not (cells(tmp_path)[1] / "result.json").exists()
        filler.unlink()
        assert counted(launch(*SWEEP, "seed=0,1").output) == (2, 1, 0, 1)
        assert read_result(cells(tmp_path)[1])["metrics"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


LONG = (
    "-m",
    "sweep=mine",
    "experiment=equality_iit",
    "logger=csv",
    "job.elsewhere=[]",
    "job.max_epochs=1000",
)


@pytest.mark.parametrize("launcher", ["local", "local_pool"])
def test_ctrl_c_ends_cleanly(tmp_path, launcher):
    """As a terminal does it: the signal goes to the command and to all that it has started."""
    command = [*COMMAND, *LONG, f"hydra/launcher={launcher}", "seed=0,1"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a test in the background ignores it
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("outputs/sweeps/mine/*/csv/attempt-0/metrics.csv")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "interrupted; the same command goes on from the last checkpoints" in output
    assert "Traceback" not in output
    assert len(cells(tmp_path)) == 2
    assert not any((path / "result.json").exists() for path in cells(tmp_path).values())
    assert not any(claimed(path) for path in cells(tmp_path).values())
    assert not any(failures.read(path) for path in cells(tmp_path).values())


def test_two_commands_on_one_sweep_share_the_work(tmp_path):
    """No cell is done twice, and between them they do all."""
    command = [*COMMAND, *SWEEP, "seed=0,1,2,3,4,5"]
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    outputs = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    logs = [(path / "iit_lab.log").read_text() for path in cells(tmp_path).values()]
    assert [log.count("record: ") for log in logs] == [1] * 6
