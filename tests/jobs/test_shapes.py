"""The shape images' jobs: what is refused in one line, and what an adversary's run reports."""

import json

import pytest

SMALL = ("experiment=shapes_iit_single", "debug=fast", "model.network.channels=[4,4,4]")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["task.variables=[weight]"],
            "task.variables=['weight']: one or more of ['circularity', 'colour', 'area']",
        ),
        (
            ["alignment.variables=[weight]"],
            "alignment.variables=['weight']: the task has ['circularity+colour']",
        ),
        (["task.size=2"], "task.size=2: an image of 4 x 4 pixels is the smallest that shows an ellipse"),
        (
            ["task.size=6", "model.network.pooled=[0,1,2]"],
            "model.network.pooled=[0, 1, 2]: halves images 3 times, so they need 8 x 8 pixels or more",
        ),
        (["intervention.rank=4000"], "intervention.rank=4000: the site has 3136 units, so 1 <= rank <= 3136"),
        (
            ["intervention.rank=2000", "task.variables=[circularity,colour]"],
            "intervention.rank=2000: the site has 3136 units shared by 2 variables, so 1 <= rank <= 1568",
        ),
        (
            ["alignment.units='2:5'"],
            "alignment.units=2:5: layer 0 pre_activation of cnn 4-4-4 3 has units 0..3",
        ),
        (
            ["alignment.position=784"],
            "alignment.position=784: layer 0 pre_activation of cnn 4-4-4 3 has position",
        ),
        (
            ["counterfactual.train_sets=[[]]"],
            "counterfactual.train_sets=[]: valid are each, joint, or lists of",
        ),
        (["counterfactual.n_train=0"], "counterfactual.n_train=0: an empty data set"),
        (["control=swapped_sources"], "control=swapped_sources: no test pair has several sources"),
        (
            ["objective=iit_adversarial", "objective.adversary.alignment.layer=9"],
            "objective.adversary.alignment.layer=9",
        ),
        (
            ["experiment=equality_iit", "model=cnn"],
            "model.network.input_shape=(16,): a CNN reads height x width x channels",
        ),
    ],
)
def test_refused_in_one_line(launch, overrides, message):
    own = () if any("experiment=" in text for text in overrides) else SMALL
    launched = launch(*own, *overrides, code=1)
    assert message in launched.output
    assert "Traceback" not in launched.output
    assert not (launched.directory / "result.json").exists()


@pytest.mark.parametrize(
    "slices",
    [
        ["intervention.rank=2"],
        ["intervention=vanilla", "intervention.rank=64"],
        ["alignment.variables={circularity: {units: '0:2'}, colour: {units: '2:4'}}"],
        ["alignment.variables={circularity: {layer: 0}, colour: {layer: 1}}"],
    ],
    ids=["directions", "units", "channels", "layers"],
)
def test_sources_in_each_other_s_slices(launch, slices):
    launched = launch(
        *("experiment=shapes_iit_multi", "debug=fast", "model.network.channels=[4,4,4]", "limit.steps=2"),
        *slices,
    )
    assert "control/swapped_sources/iia/circularity+colour" in launched.metrics
    assert "control/swapped_sources/iia/circularity" not in launched.metrics


def test_an_adversary_s_run_and_its_twin_without(launch):
    adversarial = ["experiment=shapes_iit_adversarial", "debug=fast", "model.network.channels=[4,4,4]"]
    resisted = launch(*adversarial, "limit.steps=3")
    assert 0 <= resisted.metrics["adversary/iia"] <= 1
    curves = "".join(path.read_text() for path in resisted.directory.glob("csv/**/*.csv"))
    assert "train/adversary" in curves
    alone = launch(*adversarial, "limit.steps=3", "objective.terms.adversary.weight=0", directory="alone")
    assert "adversary/iia" in alone.metrics
    curves = "".join(path.read_text() for path in alone.directory.glob("csv/**/*.csv"))
    assert "train/adversary" not in curves
    assert json.loads((alone.directory / "result.json").read_text())["files"]["examples"] == "examples.png"
