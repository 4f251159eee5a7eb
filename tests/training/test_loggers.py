"""W&B offline without an account, its fallback, and that a run is always closed."""

import csv
import struct
from pathlib import Path

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

IIT = ("experiment=equality_iit", "debug=fast")
WANDB = (*IIT, "logger=default")


def records(directory: Path) -> list[wandb_internal_pb2.Record]:
    """What an offline run folder holds: protobuf records in LevelDB's log format after a 7-byte header."""
    (file,) = directory.glob("wandb/offline-run-*/*.wandb")
    data, block, whole, found, at = file.read_bytes(), 32768, b"", [], 7
    while at + 7 <= len(data):
        if block - at % block < 7:  # no header fits in what is left of a block
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a record in one piece, or its last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            found.append(record)
            whole = b""
    return found


def names(items) -> set[str]:
    return {item.key or "/".join(item.nested_key) for item in items}


def test_offline_by_default_and_complete(launch):
    launched = launch(*WANDB, "tags=[one,two]")
    found = records(launched.directory)
    run = next(record.run for record in found if record.WhichOneof("record_type") == "run")
    assert run.project == "iit_lab"
    assert run.run_group == "equality_iit"
    assert run.job_type == "train"
    assert list(run.tags) == ["one", "two"]
    assert "intervention" in {item.key for item in run.config.update}
    summaries = {record.metric.name for record in found if record.WhichOneof("record_type") == "metric"}
    assert {"val/iia", "val/accuracy"} <= summaries
    logged = set().union(*(names(r.history.item) for r in found if r.WhichOneof("record_type") == "history"))
    assert set(launched.metrics) <= logged
    assert any(name.startswith("results") for name in logged), logged
    assert {"train/loss", "val/iia/left_equality"} <= logged
    assert [r.exit.exit_code for r in found if r.WhichOneof("record_type") == "exit"] == [0]


def test_online_without_a_key_goes_on_offline_and_says_what_to_set(launch, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # no netrc
    launched = launch(*WANDB, "logger.wandb.mode=online")
    assert "WANDB_API_KEY" in launched.output
    assert "test/iia" in launched.metrics
    assert records(launched.directory)


def test_disabled(launch):
    launched = launch(*WANDB, "logger.wandb.mode=disabled")
    assert not (launched.directory / "wandb").exists()


def test_an_unknown_mode_is_refused(launch):
    assert (
        "logger.wandb.mode=sometimes: wandb takes"
        in launch(*WANDB, "logger.wandb.mode=sometimes", code=1).output
    )


def test_a_run_that_raises_is_finished_as_failed(launch):
    launched = launch(*WANDB, "optimizer.lr=-1", code=1)
    assert wandb.run is None
    assert [
        r.exit.exit_code for r in records(launched.directory) if r.WhichOneof("record_type") == "exit"
    ] == [1]


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
