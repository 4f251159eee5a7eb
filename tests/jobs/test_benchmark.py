"""`job=benchmark` from drawing to the leaderboard: what is published, what it gives away, what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from iit_lab.benchmark import answers
from iit_lab.jobs.published import Published
from iit_lab.randomness import seed_of
from tests.conftest import Launch

LEFT, RIGHT = "left_equality", "right_equality"
BOTH = f"{LEFT}+{RIGHT}"
SMALL = [
    "experiment=ii_benchmark_demo",
    "logger=csv",
    "job.max_steps=60",
    "job.gate={accuracy: 0.0, iia: 0.0}",
    "counterfactual.n_train=4000",
    "counterfactual.n_test=200",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small benchmark; its networks have learnt nothing."""
    import os
    import sys

    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from iit_lab.cli import main

    folder, before, arguments = tmp_path_factory.mktemp("made"), os.getcwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["iit-lab", *SMALL, "hydra.run.dir=run"]
    try:
        main()
    finally:
        os.chdir(before)
        sys.argv = arguments
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
    return folder / "run"


def command(made: Path, action: str, *more: str) -> list[str]:
    return [
        "job=benchmark",
        f"job.action={action}",
        f"job.run={made}/published",
        "logger=csv",
        *more,
    ]


def test_what_is_published_leaks_no_alignment(made):
    """Names, sizes, order and metadata are the same whatever the answer."""
    published = made / "published"
    manifest = json.loads((published / "manifest.json").read_text())
    files = sorted((published / "networks").iterdir())
    assert sorted(path.name for path in published.iterdir()) == ["manifest.json", "networks"]
    assert [path.stem for path in files] == list(manifest["networks"]) == sorted(manifest["networks"])
    assert len(files) == 6 and manifest["failed"] == []
    assert len({path.stat().st_size for path in files}) == 1
    assert {path.stat().st_mtime for path in [*files, published / "manifest.json"]} == {1_000_000_000}
    assert len({path.stat().st_mode for path in files}) == 1
    headers = {path.read_bytes()[: 8 + int.from_bytes(path.read_bytes()[:8], "little")] for path in files}
    assert len(headers) == 1
    assert all(set(own) == {"commitment", "trained", "weights"} for own in manifest["networks"].values())
    assert all(len(own["commitment"]) == len(own["weights"]) == 64 for own in manifest["networks"].values())
    text = (published / "manifest.json").read_text()
    sealed = json.loads((made / "sealed" / "answers.json").read_text())
    assert str(sealed["seed"]) not in [str(value) for value in manifest["recipe"].values()]
    for own in sealed["networks"].values():
        assert own["nonce"] not in text and len(own["nonce"]) == 64
        assert answers.canonical(own["answer"]).decode() not in text
    assert "alignment" not in text and "units" not in text and "basis" not in text


def test_names_and_nonces_say_nothing_and_differ_from_run_to_run(made, launch: Launch):
    again = launch(*SMALL)
    first, second = (
        json.loads((folder / "sealed" / "answers.json").read_text()) for folder in (made, again.directory)
    )
    assert not set(first["networks"]) & set(second["networks"])
    kinds = [
        sorted(json.dumps(own["answer"]["alignment"]) for own in each["networks"].values())
        for each in (first, second)
    ]
    assert kinds[0] == kinds[1], "the same seed draws the same alignments"
    weights = [
        sorted(own["answer"]["weights"] for own in each["networks"].values()) for each in (first, second)
    ]
    assert weights[0] == weights[1], "and trains the same networks"


def test_a_secret_seed_is_drawn_and_is_in_the_answers_alone(launch: Launch):
    run = launch(*SMALL, "job.seed=null", "job.n=1")
    seed = json.loads((run.directory / "sealed" / "answers.json").read_text())["seed"]
    assert seed > 2**32
    for path in run.directory.rglob("*"):
        if path.is_file() and "sealed" not in path.parts:
            assert str(seed).encode() not in path.read_bytes(), path


def test_scoring_the_truth_and_a_mistake(made, launch: Launch, tmp_path):
    sealed = json.loads((made / "sealed" / "answers.json").read_text())["networks"]
    truth = {name: own["answer"]["alignment"] for name, own in sealed.items()}
    mine = {
        name: {LEFT: {"layer": 0, "start": 0, "end": 8}, RIGHT: {"layer": 0, "units": "8:16"}}
        for name in truth
    }
    (tmp_path / "right.json").write_text(json.dumps(truth))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    files = f"job.submission=[{tmp_path}/right.json,{tmp_path}/mine.yaml]"
    run = launch(*command(made, "score", files, f"job.answers={made}/sealed/answers.json"), directory="score")
    assert run.metrics["right/overlap"] == pytest.approx(1) and run.metrics["right/jaccard"] == 1
    assert run.metrics["mine/overlap"] == 0 == run.metrics["mine/jaccard"]
    assert run.metrics["mine/dimensions"] == pytest.approx((8 * 4 + 16 * 2) / 6)
    own = json.loads((made / "scores.json").read_text())["true"]
    assert json.loads((run.directory / "scores.json").read_text())["right"] == own
    assert "precision" in (run.directory / "leaderboard.md").read_text()


def test_the_python_api_gives_the_same(made):
    sealed = json.loads((made / "sealed" / "answers.json").read_text())["networks"]
    benchmark = Published.open(made / "published")
    scored = benchmark.score({name: own["answer"]["alignment"] for name, own in sealed.items()})
    assert scored.to_json()[benchmark.ids[0]]["accuracy"] == pytest.approx(
        json.loads((made / "scores.json").read_text())["true"][benchmark.ids[0]]["accuracy"]
    )
    truth = benchmark.truth(made / "sealed" / "answers.json")
    assert set(truth) == set(benchmark.ids)
    pairs = zip(benchmark.test, benchmark.practice, strict=True)
    assert all(not torch.equal(test.base, practice.base) for test, practice in pairs)


@pytest.mark.parametrize("method", ["masks", "rotated_masks"])
def test_other_searches(made, launch: Launch, method):
    run = launch(*command(made, "search", f"job.method={method}", f"job.searches.{method}.steps=5"))
    assert set(yaml.safe_load((run.directory / f"{method}.yaml").read_text())) == set(
        Published.open(made / "published").ids
    )
    assert 0 <= run.metrics[f"{method}/iia"] <= 1


def test_searching_leaves_a_submission(made, launch: Launch):
    run = launch(*command(made, "search"), directory="search")
    again = launch(*command(made, "score", f"job.submission={run.directory}/blocks.yaml"), directory="again")
    assert again.metrics["blocks/iia"] == run.metrics["blocks/iia"]
    assert again.metrics["blocks/dimensions"] == run.metrics["blocks/dimensions"]
    assert set(yaml.safe_load((run.directory / "blocks.yaml").read_text())) == set(
        Published.open(made / "published").ids
    )


def test_answers_are_verified(made, launch: Launch, tmp_path):
    sealed = made / "sealed" / "answers.json"
    assert launch(*command(made, "verify", f"job.answers={sealed}"), directory="verify").metrics == {
        "verified": 1.0
    }
    data = json.loads(sealed.read_text())
    name = sorted(data["networks"])[0]
    data["networks"][name]["answer"]["alignment"][LEFT] = [{"layer": 1, "units": [0]}]
    (tmp_path / "tampered.json").write_text(json.dumps(data))
    run = launch(
        *command(made, "verify", f"job.answers={tmp_path}/tampered.json"), directory="tampered", code=1
    )
    assert f"job.answers={tmp_path}/tampered.json: the answers for ['{name}']" in run.output
    assert "tampered" in run.output
    copied = tmp_path / "copy"
    shutil.copytree(made / "published", copied / "published")
    path = copied / "published" / "networks" / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    run = launch(*command(copied, "verify", f"job.answers={sealed}"), directory="weights", code=1)
    assert f"{name}.safetensors: is not the file that the manifest names" in run.output
    assert "Traceback" not in run.output


def test_a_changed_manifest_does_not_fit_the_answers(made, launch: Launch, tmp_path):
    """What a network was trained for decides what is scored, so it is committed to as well."""
    copied = tmp_path / "copy"
    shutil.copytree(made / "published", copied / "published")
    path = copied / "published" / "manifest.json"
    manifest = json.loads(path.read_text())
    name = next(name for name, own in manifest["networks"].items() if own["trained"] == LEFT)
    manifest["networks"][name]["trained"] = RIGHT
    path.write_text(json.dumps(manifest))
    answers_file = f"job.answers={made}/sealed/answers.json"
    run = launch(*command(copied, "verify", answers_file), directory="verify", code=1)
    assert f"the answers for ['{name}']" in run.output and "Traceback" not in run.output


def test_networks_with_more_claims_than_others_are_scored(made):
    benchmark = Published.open(made / "published")
    first, second = (name for name in benchmark.ids if benchmark.variables(name) == (LEFT,))
    left, right = {"layer": 1, "units": [0]}, {"layer": 1, "units": [1]}
    for own in (
        {first: {LEFT: left, RIGHT: right}, second: {LEFT: left}},
        {first: {LEFT: left}, second: {LEFT: left, RIGHT: right}},
    ):
        text = benchmark.score(own).text
        assert BOTH in text and "precision" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zz: {left_equality: {layer: 1}}", "zz: there is no such network; there are 6"),
        (
            "ID: {left_equality: {layer: 1, units: [99]}, right_equality: {layer: 0}}",
            "ID.left_equality[0].units=99",
        ),
        ("ID: {}", "missing; it was trained for"),
        ("ID: [", "malformed at line"),
        ("ID: {up: {layer: 1}}", "ID.up: there is no such variable"),
    ],
)  # fmt: skip
def test_submissions_that_are_wrong_say_where(made, launch: Launch, tmp_path, text, message):
    name = Published.open(made / "published").ids[0]
    (tmp_path / "s.yaml").write_text(text.replace("ID", name))
    run = launch(*command(made, "score", f"job.submission={tmp_path}/s.yaml"), directory="score", code=1)
    assert f"job.submission={tmp_path}/s.yaml: " in run.output and message.replace("ID", name) in run.output
    assert not (run.directory / "scores.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=2), "version 2, this program reads 1"),
        (lambda m: m.pop("recipe"), "a manifest has networks and a recipe"),
        (lambda m: m["networks"].update({"../x": {}}), "networks.../x needs a commitment"),
        (lambda m: m["recipe"]["task"].update(_target_="os.system"), "task._target_=os.system: not allowed"),
        (lambda m: m["recipe"]["task"].update(download=True), "download"),
        (lambda m: m["recipe"].update(seed="${oc.env:HOME}"), "an interpolation is not allowed"),
    ],
)
def test_a_manifest_from_somebody_else_is_not_trusted(made, launch: Launch, tmp_path, change, message):
    copied = tmp_path / "copy"
    shutil.copytree(made / "published", copied / "published")
    manifest = json.loads((copied / "published" / "manifest.json").read_text())
    change(manifest)
    (copied / "published" / "manifest.json").write_text(json.dumps(manifest))
    run = launch(*command(copied, "search"), directory="search", code=1)
    assert message in run.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["job.action=guess"], "job.action=guess: valid are"),
        (["job.baselines=[luck]"], "job.baselines=luck: job.searches has"),
        (["job.method=luck"], "job.method=luck: job.searches has"),
        (["+job.gate.f1=0.5"], "job.gate.f1=0.5: accuracy and iia"),
        (["job.n=9999"], "job.n=9999: there are 6120 alignments"),
        (["job.alignments.layers=[3]"], "job.alignments.layers=[3]: mlp 16-16-16 has hidden layers 0..2"),
        (["counterfactual.train_sets=[]"], "counterfactual.train_sets=[]: each alignment has a network"),
        (["counterfactual.train_sets=[up]"], "counterfactual.train_sets"),
        (["counterfactual.test_sets=[joint]"], "counterfactual.test_sets=['joint']: lacks ['left_equality']"),
        (["+job.alignments.foo=1"], "job.alignments.foo=1: AlignmentSpace takes"),
        (["job.alignments.layers=1"], "job.alignments.layers=1: AlignmentSpace takes"),
        (["job.alignments.sizes=4"], "job.alignments.sizes=4: AlignmentSpace takes"),
        (["job.alignments.kinds=null"], "job.alignments.kinds=None: placements by name"),
        (["job.action=score"], "job.run=null: name the published folder"),
        (["job.action=verify"], "job.run=null: name the published folder"),
        (["job.gate.iia=1.1"], "job.gate.iia=1.1: accuracy and iia, from 0 to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(launch: Launch, arguments, message):
    run = launch(*SMALL, *arguments, code=1)
    assert message in run.output and "Traceback" not in run.output


def test_a_network_is_the_one_that_training_it_alone_gives(made, launch: Launch):
    """`job=train` with the seeds and the alignment of a network of both variables: the same weights."""
    sealed = json.loads((made / "sealed" / "answers.json").read_text())
    drawn = json.loads((made / "sealed" / "draw.json").read_text())
    name, index = drawn["names"][5], (1, 2)
    own = sealed["networks"][name]["answer"]
    assert own["trained"] == BOTH
    places = {variable: {"units": homes[0]["units"]} for variable, homes in own["alignment"].items()}
    run = launch(
        "experiment=equality_iit",
        "logger=csv",
        "job.max_steps=60",
        "job.elsewhere=[]",
        "counterfactual.n_train=4000",
        f"seed={sealed['seed']}",
        f"model.seed={seed_of(sealed['seed'], 'network', *index)}",
        f"alignment.variables={json.dumps(places).replace(chr(34), '')}",
        "alignment.layer=1",
        directory="alone",
    )
    alone = load_file(run.directory / "network.safetensors")
    together = load_file(made / "published" / "networks" / f"{name}.safetensors")
    assert list(alone) == list(together)
    for key, weights in alone.items():
        torch.testing.assert_close(together[key], weights, atol=2e-5, rtol=1e-4)


def test_networks_that_do_not_pass_are_listed_and_not_published(launch: Launch):
    run = launch(*SMALL, "job.gate.accuracy=0.5", "job.max_steps=30")
    manifest = json.loads((run.directory / "published" / "manifest.json").read_text())
    sealed = json.loads((run.directory / "sealed" / "answers.json").read_text())["networks"]
    files = {path.stem for path in (run.directory / "published" / "networks").iterdir()}
    assert files == set(manifest["networks"]) and not files & set(manifest["failed"])
    assert files | set(manifest["failed"]) == set(sealed)
    assert run.metrics["passed"] == len(files) / 6
    none = launch(*SMALL, "job.gate.iia=1.0", directory="none", code=1)
    assert "none of 6 networks passed" in none.output and not (none.directory / "published").exists()


def test_resuming_trains_the_same_networks(made, launch: Launch, monkeypatch):
    """Killed in the middle, then run again: the same weights under the same names."""
    from iit_lab.training.population import PopulationModule

    step, calls = PopulationModule.training_step, []

    def dies(self, chunk, batch_idx):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(batch_idx)
        return step(self, chunk, batch_idx)

    more = ["job.steps_per_call=10", "callbacks.checkpoint.every_s=1e-6"]
    with monkeypatch.context() as patched:
        patched.setattr(PopulationModule, "training_step", dies)
        launch(*SMALL, *more, code=130)
    names = json.loads((Path("run") / "sealed" / "draw.json").read_text())["names"]
    run = launch(*SMALL, *more)
    assert "resuming from" in run.output
    published = Published.open(run.directory / "published")
    assert sorted(names) == published.ids
    whole = json.loads((made / "sealed" / "answers.json").read_text())["networks"]
    again = json.loads((run.directory / "sealed" / "answers.json").read_text())["networks"]
    assert sorted(own["answer"]["weights"] for own in whole.values()) == sorted(
        own["answer"]["weights"] for own in again.values()
    )
    assert load_file(run.directory / "published" / "networks" / f"{published.ids[0]}.safetensors")
