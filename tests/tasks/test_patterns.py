"""Patterns of four objects: labels by comparing rows one by one, and how often an interchange changes one."""

import pytest
import torch

from iit_lab.causal.counterfactuals import draw
from iit_lab.randomness import generator_for
from iit_lab.tasks.patterns import OBJECTS, Patterns, pairs_of, pattern_model


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("ABAB", ("WY", "XZ")), ("AABB", ("WX", "YZ")), ("ABBA", ("WZ", "XY")), ("BAAB", ("WZ", "XY"))],
)
def test_pairs_of_a_pattern(pattern, expected):
    assert pairs_of(pattern) == tuple(map(tuple, expected))


@pytest.mark.parametrize("pattern", ["ABAC", "AAAA", "ABABA", ""])
def test_other_patterns_are_refused(pattern):
    with pytest.raises(ValueError, match=f"pattern={pattern}: four letters"):
        pattern_model(pattern)


@pytest.mark.parametrize("pattern", ["ABAB", "AABB", "ABBA"])
def test_labels_are_what_comparing_rows_says(pattern):
    task = Patterns(pattern_model(pattern))
    setting = task.sample(400, generator_for(0))
    labels = task.causal_model.run(setting)["holds"]
    for i in range(400):
        rows = [setting[name][i].tolist() for name in OBJECTS]
        same = {frozenset((a, b)): rows[a] == rows[b] for a in range(4) for b in range(a)}
        letters = [frozenset(j for j in range(4) if pattern[j] == letter) for letter in "AB"]
        assert bool(labels[i]) == all(same[pair] for pair in letters)
        assert all(not equal for pair, equal in same.items() if pair not in letters)
    torch.testing.assert_close(
        task.encode(setting), torch.cat([setting[name] for name in "WXYZ"], 1), atol=0, rtol=0
    )


def test_a_quarter_of_the_labels_changes():
    """The no-op baseline of .75 on ABAB."""
    task = Patterns(pattern_model("ABAB"))
    for name in task.variables:
        pairs = draw(task.causal_model, task, [name], 20_000, generator_for(1))
        changed = (pairs.base_label != pairs.counterfactual_label).float().mean()
        assert changed == pytest.approx(0.25, abs=0.01)


def test_both_or_neither():
    task = Patterns(pattern_model("AABB"), together=True)
    found = task.causal_model.run(task.sample(2000, generator_for(0)))
    assert torch.equal(found["first_equality"], found["second_equality"])
    assert found["holds"].float().mean() == pytest.approx(0.5, abs=0.04)
