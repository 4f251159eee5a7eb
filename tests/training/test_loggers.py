"""W&B offline without an account, its fallback, and that a run is always closed."""

import csv
import json

import pytest
import pytorch_lightning as pl
import wandb

IIT = ("experiment=equality_iit", "debug=fast")
WANDB = (*IIT, "logger=default")


def test_offline_by_default_and_complete(launch, offline_run):
    launched = launch(*WANDB, "tags=[one,two]")
    found = offline_run(launched.directory)
    (run,) = found.of("run")
    assert run.project == "iit_lab"
    assert run.run_group == "equality_iit"
    assert run.job_type == "train"
    assert list(run.tags) == ["one", "two"]
    assert "intervention" in {item.key for item in run.config.update}
    assert {"val/iia", "val/accuracy"} <= {metric.name for metric in found.of("metric")}
    assert set(launched.metrics) <= found.logged
    assert any(name.startswith("results") for name in found.logged), found.logged
    assert {"train/loss", "val/iia/left_equality"} <= found.logged
    assert [end.exit_code for end in found.of("exit")] == [0]


def test_online_without_a_key_goes_on_offline_and_says_what_to_set(
    launch, offline_run, monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))  # no netrc
    launched = launch(*WANDB, "logger.wandb.mode=online")
    assert "WANDB_API_KEY" in launched.output
    assert "test/iia" in launched.metrics
    assert offline_run(launched.directory).of("run")


def test_disabled(launch):
    launched = launch(*WANDB, "logger.wandb.mode=disabled")
    assert not (launched.directory / "wandb").exists()


def test_an_unknown_mode_is_refused(launch):
    assert (
        "logger.wandb.mode=sometimes: wandb takes"
        in launch(*WANDB, "logger.wandb.mode=sometimes", code=1).output
    )


def test_a_run_that_raises_is_finished_as_failed(launch, offline_run):
    launched = launch(*WANDB, "optimizer.lr=-1", code=1)
    assert wandb.run is None
    assert [end.exit_code for end in offline_run(launched.directory).of("exit")] == [1]


def test_csv_holds_every_logged_step(launch):
    launched = launch(*IIT, "job.log_every=5", "job.steps_per_call=5")
    (file,) = launched.directory.glob("csv/attempt-0/metrics.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    steps = [int(row["step"]) for row in rows if row.get("train/loss")]
    assert steps == [4, 8, 12, 16, 20]  # four batches of 64 rows an epoch: what has gathered by its end


@pytest.mark.filterwarnings("ignore")
def test_tensorboard(launch):
    launched = launch(*IIT, "logger=tensorboard")
    assert list(launched.directory.glob("tensorboard/events.out.tfevents.*"))


class Stop(pl.Callback):
    """Stands for whatever kills a run: raises after some steps."""

    def on_train_batch_end(self, trainer, *arguments) -> None:
        if trainer.global_step >= 40:
            raise RuntimeError("killed")


def test_a_cell_that_resumes_goes_on_as_the_same_run_on_its_own_step(
    launch, offline_run, monkeypatch, request
):
    """Offline, W&B begins a second folder and counts its own steps from 0; ours go on."""
    cell = (
        "experiment=equality_iit",
        "limit.rows=1000",
        "job.max_epochs=4",
        "job.steps_per_call=5",
        "job.log_every=5",
    )
    monkeypatch.setitem(__import__("sys").modules, "stop_for_test", request.module)
    stop = ("+callbacks.stop={_target_: stop_for_test.Stop}", "callbacks.checkpoint.every_s=0.00001")
    launch("-m", "sweep=two", *cell, *stop, "seed=0,1", code=1)
    launch("-m", "sweep=two", *cell, "seed=0,1")
    cells = sorted(__import__("pathlib").Path("outputs/sweeps/two").glob("*/result.json"))
    identities = set()
    for cell in (path.parent for path in cells):
        first, second = (offline_run(folder) for folder in sorted(cell.glob("wandb/offline-run-*")))
        (one,), (other,) = first.of("run"), second.of("run")
        assert one.run_id == other.run_id
        assert one.run_group == other.run_group == "two"
        identities.add(one.run_id)
        typed = next(json.loads(item.value_json) for item in other.config.update if item.key == "overrides")
        assert (
            typed["seed"] in "01" and typed["experiment"] == "equality_iit" and typed["limit.rows"] == "1000"
        )
        assert all(
            metric.step_metric == "trainer/global_step"
            for metric in second.of("metric")
            if metric.name.startswith("val/")
        )
        steps = [run.series("trainer/global_step") for run in (first, second)]
        assert steps[0][0] == 5 and steps[1][0] > 5, steps
        assert steps[1] == sorted(steps[1]) and steps[1][-1] == 4 * 15
    assert len(identities) == 2
