"""The sum of three numbers: 1 000 prompts, seven causal models, three parts."""

import itertools

import pytest
import torch

from iit_lab.causal.counterfactuals import draw
from iit_lab.models.tokenizers import word_level
from iit_lab.tasks.arithmetic_sum import ArithmeticSum, partial_sum

WORDS = ["+", "=", *map(str, range(1, 11))]
ROWS = {"X": torch.tensor([1, 10, 3]), "Y": torch.tensor([2, 10, 4]), "Z": torch.tensor([3, 10, 5])}
OTHER = {"X": torch.tensor([5, 1, 1]), "Y": torch.tensor([6, 1, 1]), "Z": torch.tensor([7, 1, 1])}


def task(terms: str = "XY", holdout: bool = True) -> ArithmeticSum:
    return ArithmeticSum(word_level(WORDS), partial_sum(terms), holdout=holdout)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [  # the sum minus 3, with P from the other prompt: by hand
        ("X", [5 + 2 + 3, 1 + 20, 1 + 9]),
        ("Y", [1 + 6 + 3, 10 + 1 + 10, 3 + 1 + 5]),
        ("Z", [1 + 2 + 7, 20 + 1, 3 + 4 + 1]),
        ("XY", [11 + 3, 2 + 10, 2 + 5]),
        ("XZ", [12 + 2, 2 + 10, 2 + 4]),
        ("YZ", [13 + 1, 2 + 10, 2 + 3]),
        ("XYZ", [18, 3, 3]),
    ],
)
def test_interchanges_by_hand(terms, expected):
    model = partial_sum(terms)
    assert (model.run(ROWS)["sum"] + 3).tolist() == [6, 30, 12]
    assert (model.interchange(ROWS, OTHER, ["P"])["sum"] + 3).tolist() == expected


@pytest.mark.parametrize("terms", ["", "YX", "XX", "W", "xy"])
def test_other_terms_are_refused(terms):
    with pytest.raises(ValueError, match=f"terms={terms}: letters of XYZ"):
        partial_sum(terms)


def test_prompts_are_encoded_as_the_tokenizer_would():
    tokenizer = word_level(WORDS)
    expected = tokenizer.encode(["1+2+3=", "10+10+10=", "3+4+5="])
    assert torch.equal(task().encode(ROWS), expected)
    assert task().input_shape == (6,)
    assert task().n_classes == len(task().answers) == 28


def test_parts_are_disjoint_and_have_every_prompt():
    found = {
        name: set(map(tuple, rows(task().part(name)))) for name in ("train", "val", "test", "seen", "all")
    }
    assert [len(found[name]) for name in ("train", "val", "test")] == [700, 200, 100]
    assert found["train"] | found["val"] | found["test"] == set(itertools.product(range(1, 11), repeat=3))
    assert found["seen"] == found["train"]
    assert len(found["all"]) == 1000


def rows(part) -> list[list[int]]:
    setting = part.sample(len(part), torch.Generator().manual_seed(0))
    return torch.stack([setting[name] for name in "XYZ"], 1).tolist()


def test_every_prompt_is_drawn_equally_often():
    drawn = task(holdout=False).sample(3000, torch.Generator().manual_seed(0))
    _, counts = torch.unique(torch.stack(list(drawn.values()), 1), dim=0, return_counts=True)
    assert counts.tolist() == [3] * 1000


def test_without_holdout_the_record_says_so():
    everything = task(holdout=False)
    assert everything.beside == () and "not unseen" in everything.note
    assert len(everything.part("test")) == 1000


def test_the_wrong_model_is_another_of_the_same_shape():
    names = {terms: task(terms).wrong() for terms in ("X", "XY", "XZ", "XYZ")}
    assert names["XYZ"] is None
    parents = {
        terms: sorted(other.causal_model.graph().predecessors("P")) for terms, other in names.items() if other
    }
    assert parents == {"X": ["Y"], "XY": ["Y", "Z"], "XZ": ["X", "Y"]}


def test_pairs_of_a_part_stay_in_it():
    own = task()
    pairs = draw(own.causal_model, own.part("test"), ("P",), 50, torch.Generator().manual_seed(0))
    held = set(map(tuple, rows(own.part("test"))))
    for setting in (pairs.base, *pairs.sources):
        assert set(map(tuple, torch.stack([setting[name] for name in "XYZ"], 1).tolist())) <= held


def test_a_model_without_tokenizer_is_refused():
    with pytest.raises(ValueError, match="tokenizer=null"):
        ArithmeticSum(None, partial_sum("X"))
