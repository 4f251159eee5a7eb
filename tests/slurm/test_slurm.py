"""Sweeps on a real SLURM: failures of every kind, preemption, and a launcher that dies."""

import json
import re
import sys
from pathlib import Path

import pytest

from iit_lab.results.record import read_result

pytestmark = pytest.mark.slow

CELL = (
    "experiment=equality_das",
    "logger=csv",
    "job.min_accuracy=null",
    "limit.rows=2000",
    "limit.steps=60",
    "job.batch_size=100",
    "job.steps_per_call=5",
)
SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.timeout_min=60",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=1",
    "hydra.launcher.signal_delay_s=30",
)


def cells(sweep: Path) -> dict[tuple[int, int], Path]:
    """(layer, rank) -> directory of the cell."""
    found = {}
    for config in sweep.glob("*/config.json"):
        plain = json.loads(config.read_text())["config"]
        found[plain["alignment"]["layer"], plain["intervention"]["rank"]] = config.parent
    return found


def jobs(slurm, sweep: Path) -> dict[str, str]:
    """Cell -> id of its job in the queue."""
    found = {}
    for line in slurm.ask("squeue", "--noheader", "--array", "--format=%i %j").splitlines():
        identity, name = line.split()
        announced = sweep / ".submissions" / f"{name}.json"
        if announced.exists():
            names = json.loads(announced.read_text())["cells"]
            found[names[int(identity.partition("_")[2] or 0)]] = identity
    return found


def test_a_sweep_with_a_cell_that_raises_one_killed_and_one_preempted(slurm, tmp_path, capsys):
    """12 cells; what failed is listed and run again by the same command, the rest is left alone."""
    grid = ("alignment.layer=0,1,2", "intervention.rank=1,2,4,8")
    saboteur = (
        "+callbacks.saboteur={_target_: saboteur.Saboteur, _partial_: true, step: 30, "
        "raising: [0-1], killed: [1-2], preempted: [2-4]}"
    )
    command = ("-m", "sweep=main", *SLURM, *CELL, *grid, saboteur, "callbacks.checkpoint.every_s=0.0001")
    sweep = tmp_path / "outputs" / "sweeps" / "main"
    launcher = slurm.start(*command, directory=tmp_path)
    slurm.until(lambda: len(cells(sweep)) == 12)
    raising, killed, preempted = (cells(sweep)[cell] for cell in ((0, 1), (1, 2), (2, 4)))
    slurm.until((preempted / "struck").exists)
    job = jobs(slurm, sweep)[preempted.name]
    slurm.ask("scancel", "--signal=USR2", job)
    output, _ = launcher.communicate(timeout=600)

    assert launcher.returncode == 1, output[-4000:]
    assert "sweep outputs/sweeps/main: 12 cells, 0 finished are skipped" in output
    table = output[output.index("2 cells failed") :]
    assert re.search(rf"{raising.name} +RuntimeError: sabotage +\S+iit_lab.log", table)
    assert re.search(rf"{killed.name} +ended without a record", table)
    assert len(cells(sweep)) == 12
    assert len(list(sweep.glob("*/result.json"))) == 10

    said = "".join(path.read_text() for path in (sweep / ".submitit").glob(f"{job}/*_log.*"))
    assert "this job is preempted" in said and "Exiting gracefully after preemption" in said
    own = (preempted / "iit_lab.log").read_text()
    resumed = re.findall(r"resuming from \S+", own)
    assert resumed and "record:" in own
    restarts = slurm.ask("sacct", "-j", job, "--duplicates", "-X", "--noheader", "--format=JobID,State")
    with capsys.disabled():
        sys.stdout.write(f"\nSLURM job {job} was requeued:\n{restarts}\nthe cell says: {resumed[0]}\n")
    assert "REQUEUED" in restarts

    before = {path: path.stat().st_mtime_ns for path in sweep.glob("*/result.json")}
    again = slurm.run(*command, directory=tmp_path)
    assert "12 cells, 10 finished are skipped, 0 are at work elsewhere, 2 to run" in again
    assert len(list(sweep.glob("*/result.json"))) == 12
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())

    whole = slurm.run(
        *CELL, "alignment.layer=2", "intervention.rank=4", "hydra.run.dir=whole", directory=tmp_path
    )
    assert "record:" in whole
    assert read_result(preempted)["metrics"] == read_result(tmp_path / "whole")["metrics"]


def test_the_launcher_is_killed_and_started_again(slurm, tmp_path):
    """What SLURM has in its queue goes on by itself and is not submitted twice."""
    grid = ("alignment.layer=0,1", "intervention.rank=1,2")
    command = ("-m", "sweep=two", *SLURM, "hydra.launcher.array_parallelism=1", *CELL, *grid)
    sweep = tmp_path / "outputs" / "sweeps" / "two"
    launcher = slurm.start(*command, directory=tmp_path)
    slurm.until(lambda: list(sweep.glob("*/result.json")))
    launcher.kill()
    launcher.communicate()

    status = slurm.run("job=status", "sweep=two", directory=tmp_path)
    states = "done|running|queued|failed|unfinished"
    counts = {state: int(n) for n, state in re.findall(rf"(\d+) ({states})", status)}
    assert sum(counts.values()) == 4 and counts["done"] >= 1 and counts["queued"] >= 1, status

    again = slurm.run(*command, directory=tmp_path)
    assert re.search(r"4 cells, [1-9] finished are skipped, [1-9] are at work elsewhere, 0 to run", again)
    slurm.until(lambda: not jobs(slurm, sweep))
    assert "4 done, 0 running, 0 queued, 0 failed, 0 unfinished" in slurm.run(
        "job=status", "sweep=two", directory=tmp_path
    )
    logs = [(path, (path / "iit_lab.log").read_text()) for path in cells(sweep).values()]
    assert [log.count(f"record: {path}/result.json") for path, log in logs] == [1] * 4


def test_an_unknown_partition_is_refused(slurm, tmp_path):
    command = ("-m", "sweep=nowhere", *SLURM, *CELL, "hydra.launcher.partition=nowhere")
    refused = slurm.run(*command, directory=tmp_path, code=1)
    assert "hydra.launcher.partition=nowhere: this cluster has main, urgent" in refused
    assert "Traceback" not in refused


def test_a_queued_cell_runs_as_submitted_though_the_configs_have_changed(slurm, tmp_path):
    """The yaml of a cell is edited while the cell waits in the queue."""
    folder = tmp_path / "my_conf" / "experiment"
    folder.mkdir(parents=True)
    mine = folder / "mine.yaml"
    text = (
        "# @package _global_\ndefaults:\n  - equality_iit\n  - _self_\njob:\n  elsewhere: []\n  batch_size: "
    )
    mine.write_text(text + "50\n")
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    command = ("-m", "-cd", str(tmp_path / "my_conf"), "sweep=three", *SLURM, "experiment=mine", "debug=fast")
    command += ("hardware=ddp_cpu",)  # each job starts two processes of its own
    launcher = slurm.start(*command, "seed=0,1", directory=tmp_path)
    sweep = tmp_path / "outputs" / "sweeps" / "three"
    slurm.until(lambda: len(jobs(slurm, sweep)) == 2)
    mine.write_text(text + "32\n")
    slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")
    output, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, output
    for cell in sweep.glob("*/config.json"):
        assert read_result(cell.parent)["config"]["job"]["batch_size"] == 50
        assert read_result(cell.parent)["config"]["hardware"]["devices"] == 2
        said = "".join(path.read_text() for path in (sweep / ".submitit").glob("*/*.out"))
        assert (
            "conf/ has changed since this cell was submitted (job.batch_size); it runs as submitted" in said
        )
