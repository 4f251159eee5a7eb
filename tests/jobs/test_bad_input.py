"""Mistakes a user makes: one clear line that names the key, exit code 1, nothing on disk harmed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FAST = ("experiment=equality_iit", "debug=fast")


def refused(launch, *arguments, directory="run") -> str:
    """The line printed by a command that must fail, before anything is trained."""
    launched = launch(*arguments, directory=directory, code=1)
    assert "Traceback" not in launched.output
    assert not (launched.directory / "result.json").exists()
    lines = [
        line for line in launched.output.splitlines() if line.startswith("[") and "unfinished" not in line
    ]
    return lines[-1].partition("] ")[2] if lines else launched.output


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("alignment.layer=7", "alignment.layer=7: mlp 16-16-16 has layers 0..2"),
        ("alignment.layer=-1", "alignment.layer=-1: mlp 16-16-16 has layers 0..2"),
        (
            "alignment.component=attention",
            "alignment.component=attention: layer 1 of mlp 16-16-16 has ['block_output', 'pre_activation']",
        ),
        ("alignment.position=0", "alignment.position=0: mlp 16-16-16 has no positions"),
        (
            "alignment.variables.left_equality.units=12:20",
            "alignment.units=12:20: layer 1 block_output of mlp 16-16-16 has units 0..15",
        ),
        ("alignment.variables.left_equality.units=8:4", "alignment.variables.left_equality.units=8:4: write"),
        (
            "+alignment.variables.left_equality.unit=4",
            "alignment.variables.left_equality.unit=4: a place has",
        ),
        (
            "+alignment.variables.centre={units: '0:8'}",
            "alignment.variables=['centre']: the task has ['left_equality', 'right_equality']",
        ),
        (
            "alignment.variables.left_equality.units=0:10",
            "intervention.variables: left_equality and right_equality overlap",
        ),
        ("counterfactual.n_train=0", "counterfactual.n_train=0: an empty data set"),
        (
            "counterfactual.train_sets=[[centre]]",
            "counterfactual.train_sets=['centre']: valid are each, joint",
        ),
        ("counterfactual.balance=[colour]", "counterfactual.balance=['colour']: valid are"),
        ("counterfactual.filter=correct", "counterfactual.filter=correct: needs a network that is not being"),
        (
            "task.hypothesis=equal",
            "task.hypothesis=equal: valid are ['equality', 'first_argument', 'crossed']",
        ),
        ("model.network.hidden=[]", "model.network.hidden=[]: give one hidden layer or more"),
        ("job.batch_size=0", "job.batch_size=0: must be at least 1"),
        ("job.elsewhere=[5]", "job.elsewhere.layer=5: mlp 16-16-16 has layers 0..2"),
        ("optimizer.lr=-1", "optimizer: Invalid learning rate: -1"),
        ("hardware.threads=0", "hardware.threads=0: must be at least 1"),
        ("hardware.accelerator=abacus", "hardware.accelerator=abacus, hardware.devices=1:"),
        ("control=placebo", "control=placebo: one or several of"),
        ("control=[none,none]", "control=['none', 'none']: one or several of"),
        ("intervention=zero", "intervention=zero: an ablation has no counterfactual label"),
        ("callbacks.checkpoint.every_s=0", "callbacks.checkpoint.every_s=0: must be above 0"),
    ],
)
def test_one_line_names_the_key(launch, override, line):
    assert line in refused(launch, *FAST, override)


def test_rank_above_the_width(launch):
    line = refused(launch, "experiment=equality_das", "debug=fast", "intervention.rank=9")
    assert line == ("intervention.rank=9: the site has 16 units shared by 2 variables, so 1 <= rank <= 8")


def test_whole_sites_of_two_variables_overlap(launch):
    line = refused(launch, *FAST, "alignment=whole_site")
    assert line.startswith("intervention.rank=None: left_equality and right_equality overlap")


@pytest.mark.parametrize("group", ["task", "model", "intervention", "experiment"])
def test_unknown_option_lists_the_valid_ones(launch, group):
    output = launch(f"{group}=nonesuch", code=1).output
    assert f"'{group}/nonesuch'" in output
    assert "Available options" in output


def test_network_that_does_not_solve_the_task_is_not_aligned(launch):
    line = refused(
        launch,
        *("experiment=equality_das", "requires=nothing", "logger=csv"),
        *("counterfactual.n_train=300", "counterfactual.n_test=200"),
    )
    assert line.startswith("job.min_accuracy=0.9: the network solves 0.")


def test_behaviour_alone_has_no_iia_to_watch(launch):
    line = refused(
        launch, "experiment=equality_behaviour", "debug=fast", "job.patience=2", "job.monitor=val/iia"
    )
    assert line == "job.monitor=val/iia: behaviour alone has no IIA; use val/accuracy"


def test_weights_that_are_missing(launch, tmp_path):
    line = refused(launch, *FAST, f"model.weights={tmp_path}/nowhere")
    assert line.startswith(f"model.weights={tmp_path}/nowhere:")
    assert "holds no network.safetensors" in line


@pytest.fixture
def trained(launch) -> Path:
    return launch(*FAST, directory="trained").directory


def test_weights_that_are_cut_short(launch, trained):
    weights = trained / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    line = refused(launch, *FAST, f"model.weights={trained}")
    assert line.startswith("model.weights=")
    assert "network.safetensors: cannot be read, is it cut short?" in line


def test_weights_of_another_network(launch, trained):
    line = refused(launch, *FAST, f"model.weights={trained}", "model.network.hidden=[16,16,12]")
    assert "holds another network: layers.2.bias (16,) instead of (12,)" in line


def test_a_directory_that_holds_a_different_run_is_left_alone(launch, trained):
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    line = launch(*FAST, "seed=1", directory="trained", code=1).output
    assert "holds a different run, they differ in model.seed, seed; name another folder" in line
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_a_result_without_a_config_is_left_alone(launch, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    output = launch(*FAST, code=1).output
    assert "holds a result.json that is not of this run" in output
    assert (tmp_path / "run" / "result.json").read_text() == "{}"


def test_a_config_cut_short_is_left_alone(launch, trained):
    (trained / "config.json").write_text('{"schema_')
    output = launch(*FAST, directory="trained", code=1).output
    assert "config.json: cannot be read, is it cut short?" in output


def test_a_folder_that_is_a_file(launch, tmp_path):
    (tmp_path / "blocked").write_text("a file")
    output = launch(*FAST, directory="blocked/run", code=1).output
    assert "hydra.run.dir=blocked/run: cannot be written" in output
    assert (tmp_path / "blocked").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a tmpfs")
def test_a_folder_that_cannot_be_written(launch, tmp_path):
    read_only = tmp_path / "read_only"
    read_only.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(read_only)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        output = launch(*FAST, directory=f"{read_only}/run", code=1).output
        sweep = launch("-m", *FAST, "seed=0,1", f"hydra.sweep.dir={read_only}/sweep", code=1).output
    finally:
        subprocess.run(["umount", str(read_only)], check=True)
    assert f"hydra.run.dir={read_only}/run: cannot be written (Read-only file system)" in output
    assert f"hydra.sweep.dir={read_only}/sweep: cannot be written" in sweep


@pytest.mark.parametrize("key", ["task=hierarchical_equality", "model.seed=3", "seed=3"])
def test_evaluate_takes_task_model_and_seed_from_the_run(launch, trained, key):
    line = refused(launch, "job=evaluate", f"job.run={trained}", key)
    assert line.startswith(
        f"{key.partition('=')[0]}: comes from job.run={trained} and may not be named again"
    )


def test_evaluate_without_a_run(launch):
    assert "job.run=???: a value is needed" in refused(launch, "job=evaluate")


def test_evaluate_a_folder_that_is_no_run(launch, tmp_path):
    assert refused(launch, "job=evaluate", f"job.run={tmp_path}").endswith("result.json: no such file")


def test_evaluate_a_record_of_another_version(launch, trained):
    data = json.loads((trained / "result.json").read_text())
    (trained / "result.json").write_text(json.dumps({**data, "schema_version": 99}))
    line = refused(launch, "job=evaluate", f"job.run={trained}")
    assert "schema_version=99, this iit_lab reads 1" in line
