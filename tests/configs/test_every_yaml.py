"""Every yaml in conf/ is composed and what it describes is instantiated; every experiment runs, fast."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf, open_dict

from iit_lab.config import conf_dir, plain, register_schema, typed
from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.build import (
    build,
    build_alignment,
    build_intervention,
    build_model,
    build_objective,
    build_policy,
    build_task,
)
from iit_lab.jobs.cells import expand, is_grid
from iit_lab.jobs.lightning import build_callbacks
from iit_lab.jobs.targets import check_targets, make
from iit_lab.results.paper import PaperTable
from iit_lab.results.record import differences, fingerprint, read_result
from tests.small_networks import small_bert, small_gpt2

OUTSIDE = {"hydra", "config.yaml"}
FILES = sorted(
    path.relative_to(conf_dir())
    for path in conf_dir().rglob("*.yaml")
    if path.relative_to(conf_dir()).parts[0] not in OUTSIDE
)
EXPERIMENTS = [path.stem for path in FILES if path.parts[0] == "experiment"]
SUM = ["task=arithmetic_sum", "model=gpt2_small", "alignment=sum_site"]
MONLI = [f"task.folder={Path(__file__).parent.parent / 'data' / 'monli'}"]
MONLI_SITE = ["task=monli", *MONLI, "alignment=monli_site"]
SHAPES = ["task=shapes", "model=cnn", "alignment=shapes_site", "intervention=low_rank"]
PATTERNS = ["task=patterns", "alignment=whole_site", "intervention=rotated", "alignment.layer=0"]
NEEDS = {
    # options that only make sense beside another one
    "alignment/whole_site": ["intervention=rotated"],
    "alignment/equality_blocks": [],
    "model/handcrafted_equality": ["alignment=equality_blocks", "alignment.layer=0"],
    "alignment/grid": ["intervention=low_rank"],
    "alignment/sum_site": SUM,
    "model/gpt2_small": SUM[::2],
    "model/gpt2": SUM[::2],
    "model/gpt2_lm": SUM[::2],
    "model/gpt2_bridge": SUM[::2],
    "model/bridge_small": [SUM[0], "alignment=sum_site", "alignment.layer=3"],
    "task/arithmetic_sum": SUM[1:],
    "task/arithmetic_sum_all": SUM[1:],
    "task/patterns": PATTERNS,
    "requires/pattern_network": PATTERNS,
    **{f"task/causal_model/{name}": PATTERNS for name in ("abab", "aabb", "abba")},
    "job/budget/sums": [*SUM, "job=align"],
    **{f"task/causal_model/{terms}": SUM for terms in ("x", "y", "z", "xy", "xz", "yz", "xyz")},
    "requires/sum_network": SUM,
    "requires/sum_iit_network": SUM,
    "job/export": ["alignment=equality_blocks", "job.run=x"],
    "job/benchmark": ["alignment=equality_blocks"],
    "intervention/fixed": [
        "alignment=whole_site",
        "alignment.variables=[left_equality]",
        "alignment.layer=1",
        f"intervention.subspace.directions={{left_equality: {[[1.0]] + [[0.0]] * 15}}}",
    ],
    "task/monli": ["model=minilm", "alignment=monli_site", *MONLI],
    "alignment/monli_site": ["task=monli", "model=minilm", *MONLI],
    "model/minilm": MONLI_SITE,
    "model/bert": MONLI_SITE,
    "requires/monli_network": [*MONLI_SITE, "model=minilm"],
    **{f"experiment/monli_{name}": MONLI for name in ("train", "iit", "minilm", "benchmark")},
    "task/shapes": SHAPES,
    **{f"task/shapes_prefer_{name}": SHAPES[1:] for name in ("area", "circularity")},
    "model/cnn": SHAPES,
    "alignment/shapes_site": SHAPES,
    "requires/shapes_network": SHAPES,
    "job/graphs": ["alignment=equality_blocks"],
    "job/evaluate": ["alignment=equality_blocks", "job.run=x"],
}
BEHAVIOUR = ("equality_behaviour", "sum_gpt2_small_train", "monli_train", "shapes_train")
FAMILY = ["alignment.layers=[11]", "intervention.ranks=[5]", "job.fit.min_accuracy=null", "limit.rows=64"]
SMALLER = {
    "sum_das_grid": ["alignment.layers=[0,11]", "intervention.ranks=[5,384]"],
    "sum_sanity": FAMILY,
    "sum_empirical": FAMILY,
    "sum_disentangle": FAMILY,
    "patterns": ["job.seeds=[0]"],
    "wrong_graph": ["job.seeds=[0]"],
    "monli_train": [*MONLI, "limit.steps=2"],
    "monli_iit": [*MONLI, "limit.steps=2", "job.batch_size=8", "limit.rows=24"],
    "monli_minilm": [
        *MONLI,
        "limit.steps=2",
        "limit.rows=24",
        "job.batch_size=8",
        "job.min_accuracy=null",
        "alignment.layers=[1,5]",
        "intervention.ranks=[16]",
    ],
    "monli_benchmark": [
        *MONLI,
        "limit.steps=2",
        "limit.rows=24",
        "job.batch_size=8",
        "job.seed=0",
        "job.alignments.sizes=[8]",
        "job.gate={accuracy: 0.0, iia: 0.0}",
    ],
    "ii_benchmark": ["job.gate={accuracy: 0.0, iia: 0.0}", "job.searches.masks.steps=5"],
    "ii_benchmark_demo": ["job.gate={accuracy: 0.0, iia: 0.0}"],
}


def composed(overrides: list[str]) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=overrides)


def first_of_sweep(text: str) -> str:
    override = OverridesParser.create().parse_override(text)
    values = override.sweep_string_iterator() if override.is_sweep_override() else [text.partition("=")[2]]
    return f"{text.partition('=')[0]}={next(iter(values))}"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_yaml_is_composed_and_instantiated(file: Path, tmp_path: Path):
    group, option = file.parent.as_posix(), file.stem
    value = f"+{group}@job={option}" if group == "job/budget" else f"{group}={option}"
    usual = [] if group == "experiment" else ["alignment=equality_blocks"]
    needed = NEEDS.get(f"{group}/{option}", usual)
    config = composed([value, *needed])
    check_targets(plain(config))
    if config.model.network.get("pretrained") is not None:  # there is no hub here
        small = small_bert if "bert" in config.model.network["_target_"] else small_gpt2
        config.model.network.pretrained = str(small(tmp_path))
    if is_grid(run := Run(config, tmp_path)):
        config = expand(run, n_layers=3)[0].config

    if config.table is not None:
        made = build(config.table)
        assert isinstance(made, PaperTable) and made.name == option
        for sweep in made.runs.values():
            one = [*map(first_of_sweep, sweep.overrides), f"seed={sweep.seeds[0]}"]
            assert plain(composed(one))["seed"] == sweep.seeds[0]
    assert isinstance(build(config.job), Job)
    task = build_task(config)
    model = build_model(config, task)
    alignment = build_alignment(config, task, model)
    build_policy(config)
    build_objective(config)
    if group != "experiment" or config.counterfactual.test_sets:
        build_intervention(config, alignment, model)
    build_callbacks(config.callbacks, tmp_path)
    optimizer = make(config.optimizer)(list(model.parameters()))
    if config.scheduler:
        make(config.scheduler)(optimizer, total_steps=10)
    for node in config.logger.values():
        assert callable(make(node))


def test_the_root_has_every_group_and_no_other():
    groups = {path.parts[0] for path in FILES}
    config = OmegaConf.load(conf_dir() / "config.yaml")
    named = {next(iter(entry)) for entry in config.defaults if isinstance(entry, DictConfig)}
    assert groups == {str(name) for name in named if not str(name).startswith("override")}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_runs_fast(launch, name):
    launched = launch(f"experiment={name}", "debug=fast", *SMALLER.get(name, []))
    if "test/accuracy" not in launched.metrics:  # of several alignments
        assert all(-1 <= value <= 64 for value in launched.metrics.values()) and len(launched.metrics) > 3
        return
    assert 0 <= launched.metrics["test/accuracy"] <= 1
    cells = [read_result(path.parent) for path in launched.directory.glob("cells/*/result.json")]
    behaviour = not any("test/iia" in found["metrics"] for found in (launched.result, *cells))
    assert behaviour == (name in BEHAVIOUR)


@pytest.mark.parametrize(
    ("experiment", "asking"),
    [
        ("equality_behaviour", ["experiment=equality_das"]),
        ("sum_gpt2_small_train", ["experiment=sum_das_grid"]),
        ("monli_train", ["experiment=monli_minilm"]),
        ("shapes_train", ["experiment=shapes_das"]),
        ("shapes_train", ["experiment=shapes_das", "task.variables=[area]"]),
        ("sum_gpt2_small_train", ["experiment=sum_das_grid", "task/causal_model=z"]),
        ("sum_gpt2_small_iit", ["experiment=sum_das_grid", "requires=sum_iit_network"]),
        (
            "sum_gpt2_small_iit",
            ["experiment=sum_das_grid", "requires=sum_iit_network", "task/causal_model=z"],
        ),
    ],
)
def test_what_is_required_is_what_the_experiment_makes(experiment, asking):
    wanted = plain(composed(asking))["requires"]["network"]
    made = plain(composed([f"experiment={experiment}"]))
    wanted = plain(typed(wanted))
    assert differences(wanted, made) == []
    assert fingerprint(wanted) == fingerprint(made)


HYDRA = [
    path.relative_to(conf_dir() / "hydra")
    for folder in ("launcher", "sweeper")
    for path in sorted((conf_dir() / "hydra" / folder).glob("*.yaml"))
]


@pytest.mark.parametrize("file", HYDRA, ids=str)
def test_launchers_and_sweepers_are_composed_and_instantiated(file: Path):
    group, option = file.parent.as_posix(), file.stem
    register_schema()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", overrides=[f"hydra/{group}={option}"], return_hydra_config=True)
    node = config.hydra[group]
    if group == "sweeper":  # its study's file lies in the sweep's directory, which only a multirun has
        node.storage = None
    with open_dict(config):
        config.hydra.sweep.dir = "somewhere"
    plugin = Plugins.instance()._instantiate(node)
    assert f"{type(plugin).__module__}.{type(plugin).__name__}" == node["_target_"]
