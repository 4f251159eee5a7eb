"""Every preset with a learned size, and PCA, through the command line: trained, scored, saved, read."""

import json

import pytest
from safetensors.torch import load_file

KNOWN = ("experiment=equality_handcrafted", "alignment=whole_site", "objective=das_sparse", "logger=csv")
FAST = (*KNOWN, "debug=fast")
LEARNED = ("boundless", "sigmoid_mask", "sigmoid_mask_rotated", "binary_mask")
CONTROLS = ("untrained", "random_subspace", "wrong_model", "axis_aligned")
STORED = {
    "boundless": {"weight", "raw_boundaries", "temperature"},
    "sigmoid_mask": {"logits", "temperature"},
    "sigmoid_mask_rotated": {"logits", "temperature", "weight"},
    "binary_mask": {"logits", "temperature"},
    "pca": {"components", "deviation"},
}
FINAL = {"boundless": 0.1, "sigmoid_mask": 0.01, "sigmoid_mask_rotated": 0.01, "binary_mask": 1e-3}


@pytest.mark.parametrize("name", STORED)
def test_a_run_evaluated_again_gives_its_own_metrics(launch, name):
    rank = 4 if name == "pca" else "null"
    trained = launch(
        *("experiment=equality_das", "debug=fast", "objective=das_sparse"),
        *(f"intervention={name}", f"intervention.rank={rank}"),
        directory="trained",
    )
    sizes = {key for key in trained.metrics if key.startswith("test/size/")}
    assert len(sizes) == (2 if name in LEARNED else 0)
    assert all(0 <= trained.metrics[key] <= 1 for key in sizes)
    stored = load_file(trained.directory / "alignment.safetensors")
    assert {key.removeprefix("subspaces.0.") for key in stored} == STORED[name]
    if name in FINAL:
        assert stored["subspaces.0.temperature"].item() == pytest.approx(FINAL[name])
    evaluated = launch("job=evaluate", f"job.run={trained.directory}", "logger=csv")
    assert evaluated.metrics == {k: v for k, v in trained.metrics.items() if k.startswith("test/")}


@pytest.mark.parametrize("name", STORED)
def test_controls(launch, name):
    metrics = launch(*FAST, f"intervention={name}", f"control=[none,{','.join(CONTROLS)}]").metrics
    assert all(0 <= metrics[f"control/{control}/iia"] <= 1 for control in CONTROLS)


@pytest.mark.parametrize("name", LEARNED)
def test_a_rank_is_refused(launch, name):
    output = launch(*FAST, f"intervention={name}", "intervention.rank=4", code=1).output
    assert "intervention.rank=4: " in output
    assert "learns how much a variable takes up, so rank must be null" in output


def test_more_components_than_activations(launch):
    output = launch(*FAST, "intervention=pca", "limit.rows=9", code=1).output
    assert "intervention.rank=8: 16 components need as many activations, there are 9" in output


def test_binary_masks_find_the_handcrafted_units(launch):
    launched = launch(
        *KNOWN,
        *("intervention=binary_mask", "objective.terms.sparsity.weight=0.1", "optimizer.lr=0.01"),
        *("job.batch_size=512", "job.max_epochs=100", "job.max_steps=600", "control=[none,axis_aligned]"),
    )
    metrics = launched.metrics
    assert metrics["test/iia"] > 0.99
    assert metrics["test/size/left_equality"] == metrics["test/size/right_equality"] == 0.5
    assert metrics["control/axis_aligned/iia"] == metrics["test/iia"]
    logits = load_file(launched.directory / "alignment.safetensors")["subspaces.0.logits"]
    assert (logits > 0).int().tolist() == [[1] * 8 + [0] * 8, [0] * 8 + [1] * 8]


def test_one_variable_with_the_whole_site_is_evaluated_as_it_is(launch):
    launched = launch(
        *("experiment=equality_das", "debug=fast", "task.hypothesis=first_argument", "intervention.rank=16"),
        *("counterfactual.train_sets=[each]", "counterfactual.test_sets=[each]"),
        directory="trained",
    )
    metrics = launched.metrics
    assert "fit" not in json.loads((launched.directory / "result.json").read_text())["timing"]
    assert metrics["test/iia"] == metrics["test/iia_full_swap"]
    evaluated = launch("job=evaluate", f"job.run={launched.directory}", "logger=csv")
    assert evaluated.metrics["test/iia"] == metrics["test/iia"]
