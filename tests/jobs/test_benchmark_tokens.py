"""`job=benchmark` where sites have token positions: BERTs on MoNLI, whose claims name a position."""

import json
from pathlib import Path

import pytest
import yaml

from iit_lab.jobs.published import Published
from tests.conftest import Launch
from tests.small_networks import small_bert

LEXICAL, NEGATION = "lexical_entailment", "negation"
DATA = Path(__file__).parent.parent / "data" / "monli"
WORDS = ("the", "man", "dog", "animal", "is", "not", "a", "does", "own", ".")


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    folder = tmp_path / "bert"
    folder.mkdir()
    return [
        "experiment=monli_benchmark",
        f"task.folder={DATA}",
        f"model.network.pretrained={small_bert(folder, *WORDS, width=24)}",
        "job.alignments.sizes=[4,9]",
        "job.gate={accuracy: 0.0, iia: 0.0}",
        "job.max_steps=3",
        "job.batch_size=4",
        "limit.rows=20",
        "job.seed=0",  # of so few examples not every draw has all kinds of pairs
        "logger=csv",
    ]


def test_networks_are_made_scored_and_searched(arguments, launch: Launch, tmp_path):
    made = launch(*arguments, "job.searches.masks.steps=2").directory
    answers = made / "sealed" / "answers.json"
    truth = json.loads(answers.read_text())["networks"]
    places = [each["answer"]["alignment"][name] for each in truth.values() for name in (LEXICAL, NEGATION)]
    assert {site["position"] for own in places for site in own} == {0}
    assert {site["layer"] for own in places for site in own} == {4}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({name: each["answer"]["alignment"] for name, each in truth.items()}))
    common = ["job=benchmark", f"job.run={made}/published", "logger=csv"]
    scored = launch(
        *common, "job.action=score", f"job.submission={mine}", f"job.answers={answers}", directory="score"
    )
    assert scored.metrics["mine/overlap"] == pytest.approx(1.0)
    own = [json.loads((where / "scores.json").read_text()) for where in (made, scored.directory)]
    assert own[0]["true"] == own[1]["mine"]
    masks = ["job.action=search", "job.method=masks", "job.searches.masks.steps=2"]
    found = (
        launch(*common, *masks, "job.searches.masks.position=0", directory="search").directory / "masks.yaml"
    )
    claimed = yaml.safe_load(found.read_text())
    assert {site["position"] for own in claimed.values() for sites in own.values() for site in sites} == {0}
    assert set(claimed) == set(truth)
    refused = launch(*common, *masks, directory="nowhere", code=1)
    assert "job.searches.masks.position=null: " in refused.output and "Traceback" not in refused.output
    refused = launch(*common, "job.action=search", directory="blocks", code=1)
    assert "too many blocks to try; search by masks" in refused.output and "Traceback" not in refused.output


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"layer": 3, "units": "0:4"}, "position=null: "),
        ({"layer": 3, "position": 99, "units": "0:4"}, "position=99: "),
        ({"layer": 3, "position": "first"}, "position=first: must be a whole number"),
    ],
)
def test_claims_without_a_position_are_refused(arguments, launch: Launch, site, message):
    made = launch(*arguments, "job.max_steps=1").directory
    benchmark = Published.open(made / "published")
    claims = {name: {LEXICAL: site, NEGATION: {"layer": 2, "position": 1}} for name in benchmark.ids}
    with pytest.raises(ValueError, match=message):
        benchmark.read(claims)


def test_a_space_of_tokens_needs_a_position(arguments, launch: Launch):
    refused = launch(*arguments, "job.alignments.position=null", code=1)
    assert "job.alignments.position=null: " in refused.output and "Traceback" not in refused.output
