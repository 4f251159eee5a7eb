"""A run that is stopped and started again ends with the same numbers, bit for bit."""

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

RUN = ("logger=csv", "limit.rows=2000", "job.steps_per_call=5", "job.max_epochs=3", "job.batch_size=100")


class Stop(pl.Callback):
    """Stands for whatever kills a run: raises after some steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *arguments) -> None:
        if trainer.global_step >= self.step:
            raise RuntimeError("killed")


@pytest.mark.parametrize("experiment", ["equality_iit", "equality_das"])
def test_resumed_in_mid_epoch(launch, experiment, monkeypatch, request):
    run = (f"experiment={experiment}", *RUN, "job.log_every=1")
    if experiment == "equality_das":
        run += ("job.min_accuracy=null", "requires=nothing")
    whole = launch(*run, directory="whole")

    monkeypatch.setitem(__import__("sys").modules, "stop_for_test", request.module)
    stop = "+callbacks.stop={_target_: stop_for_test.Stop, step: 25}"
    stopped = launch(*run, "callbacks.checkpoint.every_s=0.000001", stop, directory="stopped", code=1)
    assert not (stopped.directory / "result.json").exists()
    assert (stopped.directory / "checkpoints" / "last.ckpt").exists()

    resumed = launch(*run, directory="stopped")
    assert "resuming from" in resumed.output
    assert resumed.metrics == whole.metrics
    kind = "network" if experiment == "equality_iit" else "alignment"
    weights = [load_file(run.directory / f"{kind}.safetensors") for run in (whole, resumed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert len(list((resumed.directory / "csv").glob("attempt-*/metrics.csv"))) == 2


def test_the_checkpoint_is_plain_data_without_frozen_weights(launch):
    run = ("experiment=equality_das", *RUN, "job.min_accuracy=null", "requires=nothing")
    directory = launch(*run, "callbacks.checkpoint.every_s=0.000001").directory
    state = torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)
    assert set(state["state_dict"]) == {"intervention.subspaces.0.weight"}
    assert state["loops"]["fit_loop"]["state_dict"]["combined_loader"] == [{"step": 175}]
    assert [set(generators) for generators in state["generators"]] == [{"cpu"}]
    assert state["losses"]["steps"] == 5  # of 175: two epochs of 60 are logged, and 50 of the 55 after


@pytest.mark.parametrize("torn", [["last"], ["last", "previous"]])
def test_a_torn_checkpoint_is_passed_over(launch, monkeypatch, request, torn):
    """The one before it serves, and if that is torn too the run begins anew: the numbers are the same."""
    run = ("experiment=equality_iit", *RUN)
    whole = launch(*run, directory="whole")
    monkeypatch.setitem(__import__("sys").modules, "stop_for_test", request.module)
    stop = "+callbacks.stop={_target_: stop_for_test.Stop, step: 25}"
    stopped = launch(*run, "callbacks.checkpoint.every_s=0.000001", stop, directory="stopped", code=1)
    folder = stopped.directory / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "previous.ckpt"]
    for name in torn:
        file = folder / f"{name}.ckpt"
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    resumed = launch(*run, directory="stopped")
    assert resumed.output.count("cannot be read, is it cut short?") == len(torn)
    assert ("resuming from" in resumed.output) == (len(torn) == 1)
    assert resumed.metrics == whole.metrics
