"""Configs that somebody else may have written: what they may name, and hostile ones."""

import json

import pytest

from iit_lab.config import ConfigError
from iit_lab.jobs.trust import check_untrusted

HOSTILE = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "hydra.utils.instantiate",
    "iit_lab.jobs.train.Path",
    "iit_lab.jobs.runner.execute",
    "iit_lab.training.callbacks.sys.exit",
    "iit_lab.training.loggers.logging.os.system",
    "iit_lab.models.mlp.math.prod",
    "iit_lab.causal.model.torch.load",
    "iit_lab.tasks.hierarchical_equality.torch.hub.load",
    "iit_lab.results.files.replacing",
    "iit_lab_evil.tasks.Task",
    "iit_lab.nonesuch.Task",
    "torch.optim.os.system",
    "torch.hub.load",
    17,
]


@pytest.mark.parametrize("target", HOSTILE, ids=str)
def test_a_hostile_target_is_refused(target):
    config = {"objective": {"terms": [{"loss": {"_target_": target, "_partial_": True}}]}}
    with pytest.raises(ConfigError, match=r"config.json: objective.terms\[0\].loss._target_"):
        check_untrusted(config, "config.json")


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a ${task} b"])
def test_an_interpolation_is_refused(text):
    with pytest.raises(ConfigError, match="task.name.* an interpolation is not allowed here"):
        check_untrusted({"task": {"name": [text]}}, "config.json")


@pytest.mark.parametrize(
    "target",
    [
        "iit_lab.models.mlp.MLP",
        "iit_lab.alignment.alignment.place",
        "torch.optim.Adam",
        "iit_lab.jobs.train.Train",
    ],
)
def test_components_are_allowed(target):
    check_untrusted({"node": {"_target_": target}}, "config.json")


def test_a_trusted_package_is_that_package_alone():
    config = {"task": {"_target_": "mine_too.Task"}}
    with pytest.raises(ConfigError, match="not allowed"):
        check_untrusted(config, "config.json", ("mine",))
    check_untrusted(config, "config.json", ("mine_too",))


def test_a_hostile_run_is_not_evaluated(launch, tmp_path):
    trained = launch("experiment=equality_iit", "debug=fast", directory="trained").directory
    recorded = json.loads((trained / "result.json").read_text())
    recorded["config"]["task"] = {"_target_": "os.system", "command": f"touch {tmp_path}/owned"}
    (trained / "result.json").write_text(json.dumps(recorded))
    output = launch("job=evaluate", f"job.run={trained}", code=1).output
    assert "task._target_=os.system: not allowed from a file" in output
    assert not (tmp_path / "owned").exists()
