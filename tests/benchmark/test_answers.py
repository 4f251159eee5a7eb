"""Commitments: found by nobody without the nonce, changed by nobody with it."""

import hashlib
import json
from dataclasses import replace

import pytest

from iit_lab.alignment.placements import Block
from iit_lab.alignment.sampling import AlignmentSpace
from iit_lab.benchmark import answers
from iit_lab.benchmark.answers import Answer, Sealed
from iit_lab.benchmark.claims import to_json
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality

ANSWER = Answer("left", {"left": [{"layer": 1, "units": [3, 4]}]}, "block", None, "ab" * 32)
NONCE = "0" * 64


def sealed(answer=ANSWER, nonce=NONCE):
    return Sealed(7, {"a1": nonce}, {"a1": answer})


def entry(answer=ANSWER, nonce=NONCE):
    return {
        "a1": {
            "commitment": answers.commitment("a1", answer, nonce),
            "trained": "left",
            "weights": answer.weights,
        }
    }


def test_a_commitment_is_sha256_over_canonical_json():
    text = (
        '["' + NONCE + '","a1",{"alignment":{"left":[{"layer":1,"units":[3,4]}]},"control":null,'
        '"kind":"block","trained":"left","weights":"' + "ab" * 32 + '"}]'
    )
    assert answers.commitment("a1", ANSWER, NONCE) == hashlib.sha256(text.encode()).hexdigest()


def test_what_is_sealed_is_read_back_and_verified(tmp_path):
    sealed().save(tmp_path / "answers.json")
    again = answers.read(tmp_path / "answers.json")
    assert again == sealed()
    answers.verify(entry(), again)


@pytest.mark.parametrize(
    "changed",
    [
        sealed(replace(ANSWER, alignment={"left": [{"layer": 1, "units": [3, 5]}]})),
        sealed(replace(ANSWER, trained="right")),
        sealed(replace(ANSWER, control="last hidden layer")),
        sealed(replace(ANSWER, weights="cd" * 32)),
        sealed(nonce="1" * 64),
    ],
)
def test_whatever_is_changed_is_noticed(changed):
    with pytest.raises(ValueError, match=r"answers for \['a1'\].*tampered"):
        answers.verify(entry(), changed)


def test_a_missing_answer_is_noticed():
    with pytest.raises(ValueError, match=r"no answer for \['b2'\]"):
        answers.verify(entry() | {"b2": entry()["a1"]}, sealed())


@pytest.mark.parametrize(
    "alignment", [[], {"left": 3}, {"left": [{"layer": 1, "basis": "late.safetensors:c"}]}, [1]]
)
def test_an_alignment_that_is_no_numbers_is_refused(tmp_path, alignment):
    sealed().save(tmp_path / "answers.json")
    data = json.loads((tmp_path / "answers.json").read_text())
    data["networks"]["a1"]["answer"]["alignment"] = alignment
    (tmp_path / "answers.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="answers.json"):
        answers.read(tmp_path / "answers.json")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 1, "seed": 1, "networks": {"a": {}}}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "answers.json").write_text(text)
    with pytest.raises(ValueError, match="answers.json"):
        answers.read(tmp_path / "answers.json")


def test_no_alignment_is_found_without_the_nonce():
    """Every alignment of the demo's space is tried, with every nonce that somebody might guess."""
    task = HierarchicalEquality()
    model = MLP([16, 16, 16], task.input_shape, 2, generator_for(0, "network"))
    space = AlignmentSpace(model, task.variables, {"block": Block()}, layers=[1], sizes=[2, 4, 6])
    drawn = space.sample(1, seed=5)[0]
    claims = {name: (home,) for name, home in drawn.homes.items()}
    answer = Answer("+".join(task.variables), to_json(claims), "block", None, "ab" * 32)
    nonce = answers.new_nonce()
    public = json.dumps({"a1": {"commitment": answers.commitment("a1", answer, nonce)}})

    def tried(nonces):
        for i in range(space.count):
            homes = space.at(i, generator_for(0)).homes
            own = replace(answer, alignment=to_json({name: (home,) for name, home in homes.items()}))
            yield from (own for each in nonces if answers.commitment("a1", own, each) in public)
            plain = [
                hashlib.sha256(answers.canonical(part)).hexdigest() for part in (own.to_json(), own.alignment)
            ]
            yield from (own for each in plain if each in public)

    assert not list(tried(["", "0" * 64, "a1", "0", "null"]))
    assert list(tried([nonce])) == [answer]
    assert len(nonce) == 64 and nonce != answers.new_nonce()
