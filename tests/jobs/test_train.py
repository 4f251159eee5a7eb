"""`job=train`: the record, repeatability, what is left on disk."""

import json

import pytest
import torch
from safetensors.torch import load_file

IIT = ("experiment=equality_iit", "debug=fast")


def test_the_record(launch):
    launched = launch(*IIT, "logger=csv", "tags=[first]")
    result = launched.result
    assert result["schema_version"] == 1
    assert result["seed"] == 0
    assert result["overrides"] == [*IIT, "logger=csv", "tags=[first]", "hydra.run.dir=run"][:-1]
    assert result["config"]["job"]["_target_"] == "iit_lab.jobs.train.Train"
    assert {"torch", "pytorch-lightning", "hydra-core", "python", "iit-lab"} <= set(result["versions"])
    assert result["timing"].keys() == {"data", "fit", "evaluate", "total"}
    assert all(0 <= value <= 1 for value in result["metrics"].values())
    assert (
        json.loads((launched.directory / "config.json").read_text())["fingerprint"] == result["fingerprint"]
    )
    for file in result["files"].values():
        assert (launched.directory / file).stat().st_size > 0


def test_iia_is_never_reported_alone(launch):
    metrics = launch(*IIT).metrics
    for name in ("left_equality", "right_equality", "left_equality+right_equality"):
        for kind in ("iia", "iia_noop", "iia_full_swap", "iia_changed", "iia_unchanged"):
            assert f"test/{kind}/{name}" in metrics


def test_two_runs_of_one_config_agree_bit_for_bit(launch):
    first = launch(*IIT, directory="first")
    torch.rand(17)  # whatever else ran before
    second = launch(*IIT, directory="second")
    assert first.metrics == second.metrics
    weights = [load_file(run.directory / "network.safetensors") for run in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_another_seed_is_another_run(launch):
    first, second = launch(*IIT, directory="a").metrics, launch(*IIT, "seed=1", directory="b").metrics
    assert first != second


def test_a_finished_run_is_not_done_again(launch):
    first = launch(*IIT)
    stamp = (first.directory / "result.json").stat().st_mtime_ns
    again = launch(*IIT, "callbacks.progress.every_s=1")  # outside the fingerprint
    assert "already finished" in again.output
    assert (first.directory / "result.json").stat().st_mtime_ns == stamp
    assert "left_equality " in again.output  # shown, not only said
    (first.directory / "checkpoints").mkdir()
    (first.directory / "checkpoints" / "last.ckpt").write_text("of the first time")
    launch(*IIT, "rerun=true")
    assert (first.directory / "result.json").stat().st_mtime_ns > stamp


def test_training_continues_from_a_run_s_weights(launch):
    first = launch(*IIT, directory="first")
    frozen = launch(*IIT, f"model.weights={first.directory}", "optimizer.lr=0.0", directory="second")
    assert frozen.metrics == first.metrics


def test_steps_per_call_changes_no_number(launch):
    one = launch(*IIT, "job.steps_per_call=1", directory="one").metrics
    seven = launch(*IIT, "job.steps_per_call=7", directory="seven").metrics
    assert one == seven


@pytest.mark.parametrize(
    "extra",
    [
        ["counterfactual.mixed=true", "counterfactual.train_sets=[each,joint]"],
        ["counterfactual.sources=single"],
        ["objective.source_grad=false"],
        ["objective.terms.behaviour.weight=0"],
        ["intervention=low_rank"],
        ["optimizer=sgd", "scheduler=cosine", "scheduler.warmup=0.1", "job.gradient_clip=1.0"],
        ["job.patience=1", "job.max_epochs=3"],
        ["+alignment.variables.left_equality.layer=0", "job.elsewhere=[]"],
        ["alignment.component=pre_activation"],
    ],
    ids=lambda extra: extra[0],
)
def test_variants_run(launch, extra):
    assert "test/iia" in launch(*IIT, *extra).metrics


def test_the_causal_model_is_drawn(launch):
    figure = launch(*IIT).directory / "causal_model.png"
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_equality_iit_puts_both_variables_where_it_should(launch):
    metrics = launch("experiment=equality_iit", "logger=csv").metrics
    for name in ("left_equality", "right_equality", "left_equality+right_equality"):
        assert metrics[f"test/iia/{name}"] >= 0.99
        assert 0.4 <= metrics[f"elsewhere/layer_2/iia/{name}"] <= 0.65
    assert metrics["test/accuracy"] >= 0.99


def test_training_in_bfloat16_is_an_option(launch):
    """Other weights, still whole ones in the file; and no other fingerprint."""
    run = ("experiment=equality_iit", "debug=fast", "job.elsewhere=[]")
    one, other = (
        launch(*run, directory="one"),
        launch(*run, "hardware.precision=bf16-mixed", directory="other"),
    )
    weights = [load_file(launched.directory / "network.safetensors") for launched in (one, other)]
    assert all(tensor.dtype == torch.float32 for tensor in weights[1].values())
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert one.result["fingerprint"] == other.result["fingerprint"]
