"""The command line: help, completion, typo safety, sweeps, tasks from outside."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import iit_lab
from iit_lab.results.record import read_result

COMMAND = [sys.executable, "-X", "importtime", "-c", "from iit_lab.cli import main; main()"]


def shell(*arguments: str, **environment: str) -> tuple[str, str]:
    """(stdout, list of imported modules) of a command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--cfg", "job"), ("--cfg", "job", "experiment=equality_das")]
)
def test_looking_imports_no_torch(arguments):
    output, imports = shell(*arguments)
    assert output
    assert " torch\n" not in imports
    assert "pytorch_lightning" not in imports


def test_completion_offers_options_and_imports_no_torch():
    output, imports = shell("-sc", "query=bash", COMP_LINE="iit-lab experiment=equality_", COMP_POINT="28")
    assert "experiment=equality_das" in output.split()
    assert " torch\n" not in imports


def test_help_is_for_a_person(launch):
    output = launch("--help").output
    for words in (
        "job=train",
        "job=evaluate",
        "Examples",
        "iit-lab experiment=equality_iit",
        "optimizer: adam",
    ):
        assert words in output
    assert output.count("\n  iit-lab ") == 4


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("alignment.lyer=1", "lyer"),
        ("seeed=1", "seeed"),
        ("model.wieghts=x", "wieghts"),
        ("seed=many", "seed"),
        ("hardware.threads=some", "hardware.threads"),
        ("job.action=score", "action"),
    ],
)
def test_unknown_key_or_wrong_type_is_refused_with_its_name(launch, override, named):
    output = launch("experiment=equality_iit", override, code=1).output
    assert named in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("group", "body", "line"),
    [
        ("intervention", "rnak: 4", "intervention.rnak=4: Intervention takes ["),
        ("optimizer", "learning_rate: 0.1", "optimizer.learning_rate=0.1: Adam takes ["),
        ("task", "embeding_dim: 3", "task.embeding_dim=3: HierarchicalEquality takes ["),
        ("task", "embedding_dim: wide", "task.embedding_dim=wide: HierarchicalEquality takes int"),
        (
            "task",
            "_target_: iit_lab.tasks.nonesuch.Task",
            "task._target_=iit_lab.tasks.nonesuch.Task: cannot be",
        ),
        ("job", "batch_size: many", "job.batch_size=many: Train takes int"),
        ("counterfactual", "sources: several", "counterfactual.sources=several: CounterfactualPolicy takes"),
    ],
)
def test_typo_inside_an_experiment_is_found_before_any_data_are_made(launch, tmp_path, group, body, line):
    folder = tmp_path / "my_conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        f"# @package _global_\ndefaults:\n  - equality_iit\n  - _self_\n{group}:\n  {body}\n"
    )
    launched = launch("-cd", str(tmp_path / "my_conf"), "experiment=mine", code=1)
    assert line in launched.output
    assert not (launched.directory / "config.json").exists()


TASK = '''
import torch
from iit_lab.causal.model import CausalModel, Variable
from iit_lab.tasks.base import Task

class Threshold(Task):
    """Is x + y above z?"""
    n_classes = 2
    input_shape = (3,)
    variables = ("total",)

    def __init__(self, scale: float = 1.0):
        self.scale = scale
        total = Variable("total", ("x", "y"), lambda x, y: x + y)
        above = Variable("above", ("total", "z"), lambda total, z: total > z)
        self.causal_model = CausalModel([Variable("x"), Variable("y"), Variable("z"), total, above], "above")

    def sample(self, n, generator):
        return {name: self.scale * torch.rand(n, generator=generator) for name in "xyz"}

    def encode(self, setting):
        return torch.stack([setting[name] for name in "xyz"], dim=1)
'''


@pytest.fixture
def outside_task(tmp_path, monkeypatch) -> tuple[str, ...]:
    """A task in somebody's own module with its yaml in their own folder."""
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("")
    (tmp_path / "my_package" / "threshold.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_conf" / "task").mkdir(parents=True)
    (tmp_path / "my_conf" / "task" / "threshold.yaml").write_text(
        "_target_: my_package.threshold.Threshold\nscale: 2.0\n"
    )
    return ("-cd", str(tmp_path / "my_conf"), "task=threshold", "alignment.layer=1", "intervention=low_rank")


def test_a_task_from_outside(launch, outside_task):
    metrics = launch(*outside_task, "debug=fast", "counterfactual.train_sets=[each]").metrics
    assert {"test/iia/total", "test/iia_noop/total", "test/accuracy"} <= set(metrics)


def test_a_run_of_a_task_from_outside_is_evaluated_only_if_its_package_is_trusted(launch, outside_task):
    trained = launch(*outside_task, "debug=fast", directory="trained")
    evaluate = ("job=evaluate", f"job.run={trained.directory}", "logger=csv")
    assert "task._target_=my_package.threshold.Threshold: not allowed" in launch(*evaluate, code=1).output
    evaluated = launch(*evaluate, "job.trust=[my_package]")
    assert evaluated.metrics["test/iia/total"] == trained.metrics["test/iia/total"]


def test_a_sweep_over_kinds_of_intervention(launch, tmp_path):
    kinds = ["vanilla", "rotated", "low_rank", "zero", "mean", "resample"]
    trained = launch("experiment=equality_iit", "debug=fast", directory="trained").directory
    launch(
        *("-m", "job=evaluate", f"job.run={trained}", f"intervention={','.join(kinds)}"),
        *("logger=csv", "hydra.sweep.dir=sweep"),
    )
    again = ("-m", "job=evaluate", f"job.run={trained}", f"intervention={','.join(kinds)}", "logger=csv")
    assert "6 cells, 6 finished are skipped" in launch(*again, "hydra.sweep.dir=sweep").output
    for kind in kinds:
        (cell,) = (tmp_path / "sweep").glob(f"intervention-{kind}_*")
        result = read_result(cell)
        ablation = kind in ("zero", "mean", "resample")
        assert f"test/{'effect' if ablation else 'iia'}/left_equality" in result["metrics"]
        assert ("test/iia" in result["metrics"]) != ablation


@pytest.mark.parametrize(("sweep", "expected"), [((), r"20\d\d-.*"), (("sweep=mine",), "mine")])
def test_a_sweep_has_a_name(launch, tmp_path, sweep, expected):
    launch("-m", "experiment=equality_handcrafted", "debug=fast", "seed=0,1", *sweep)
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert re.fullmatch(expected, folder.name)
    assert {path.parent.name for path in folder.glob("*/result.json")} == {
        "debug-fast_seed-0",
        "debug-fast_seed-1",
    }


def test_sites_are_listed_with_their_widths(launch):
    output = launch("job=sites", "model.network.hidden=[5,7]").output
    rows = [line.split() for line in output.splitlines() if line.startswith("layer")]
    assert [row[0] for row in rows if row[2] == "block_output"] == [
        "layer0.block_output",
        "layer1.block_output",
    ]
    assert [row[-1] for row in rows if row[2] == "block_output"] == ["5", "7"]


def test_the_version_is_the_package_s():
    pyproject = Path(iit_lab.__file__).parent.parent / "pyproject.toml"
    assert f'version = "{iit_lab.__version__}"' in pyproject.read_text()
