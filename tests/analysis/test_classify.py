"""Features, trees without pickle, and the classifier of inputs it has not seen."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from iit_lab.analysis import features, newcomers, trees

NUMBERS = torch.cartesian_prod(*[torch.arange(1, 11)] * 3)
SETTING = dict(zip("XYZ", NUMBERS.unbind(1), strict=True))


def test_features_of_a_sum_by_hand():
    table = features.of_numbers(SETTING)
    assert table.shape == (1000, 19)
    row = table.iloc[(torch.tensor([6, 5, 7]) == NUMBERS).all(1).nonzero().item()]
    assert row[["X", "Y", "Z"]].tolist() == [6, 5, 7]
    assert row[["X odd", "Y odd", "Z odd"]].tolist() == [0, 1, 1]
    assert row[["X+Y", "X+Z", "Y+Z", "X+Y+Z"]].tolist() == [11, 13, 12, 18]
    assert row[["X | 3", "X | 5", "Y | 5", "Z | 7", "Z | 3"]].tolist() == [1, 0, 1, 1, 0]


def test_a_tree_finds_the_rule_and_survives_json():
    table = features.of_numbers(SETTING)
    members = np.flatnonzero((SETTING["X"] + SETTING["Y"] > 12).numpy())
    tree = trees.fit(table, members.tolist(), seed=0)
    assert tree.accuracy > 0.97
    saved = json.loads(json.dumps(trees.to_json(tree, list(table.columns))))
    expected = tree.model.predict_proba(table.to_numpy())[:, 1]
    np.testing.assert_allclose(trees.predict(saved, table), expected)


@pytest.mark.parametrize("clique", [[], [1, 2], list(range(998))])
def test_a_clique_that_is_too_small_or_large_is_refused(clique):
    with pytest.raises(ValueError, match=f"clique: {len(clique)} of 1000 inputs"):
        trees.fit(features.of_numbers(SETTING), clique, seed=0)


def test_labels_by_hand():
    first = np.array([[0, 2, 2, 0], [2, 0, 0, 2], [2, 0, 0, 0], [0, 2, 0, 0]], dtype=np.uint8)
    second = np.array([[0, 0, 2, 2], [0, 0, 0, 2], [2, 0, 0, 0], [2, 2, 0, 0]], dtype=np.uint8)
    apart = np.ones((4, 4), dtype=bool)
    apart[2, 1] = apart[1, 2] = False
    found = newcomers.label({"a": first, "b": second}, apart, 0.4)
    np.testing.assert_allclose(found.scores, [[2 / 3, 1, 0.5, 1 / 3], [2 / 3, 0.5, 0.5, 2 / 3]])
    assert found.labels.tolist() == ["tie", "a", "tie", "b"]
    assert newcomers.label({"a": first, "b": second}, apart, 0.7).labels.tolist() == [
        "none",
        "a",
        "none",
        "none",
    ]
    nothing = newcomers.label({"a": first, "b": second}, np.zeros((4, 4), dtype=bool), 0.0)
    assert set(nothing.labels) == {"none"}
    with pytest.raises(ValueError, match="two causal models or more"):
        newcomers.label({"a": first}, apart, 0.5)


def labelled(names) -> newcomers.Labelled:
    return newcomers.Labelled(("a", "b"), np.zeros((2, len(names))), np.array(names, dtype=object))


def test_the_classifier_is_better_than_its_baselines_on_a_rule():
    table = features.of_numbers(SETTING)
    names = np.where((SETTING["X"] + SETTING["Z"] > 11).numpy(), "a", "b").astype(object)
    names[:50] = "tie"
    order = np.random.default_rng(0).permutation(1000)
    found = newcomers.judge(table, labelled(names), order[:800], order[800:], seed=0)
    assert found.accuracy > 0.95 > found.majority and found.accuracy > found.neighbour
    assert found.seen + found.unseen == 950
    assert found.brier < 0.05 and found.calibration_error < 0.2
    assert found.classes == ("a", "b")


def test_labels_of_one_kind_cannot_be_learnt():
    table = pd.DataFrame({"x": range(20)})
    with pytest.raises(ValueError, match="nothing to tell apart"):
        newcomers.judge(table, labelled(["a"] * 20), np.arange(15), np.arange(15, 20), seed=0)


def test_a_random_labelling_is_no_better_than_chance():
    table = features.of_numbers(SETTING)
    names = np.random.default_rng(1).choice(["a", "b"], 1000).astype(object)
    order = np.random.default_rng(0).permutation(1000)
    found = newcomers.judge(table, labelled(names), order[:800], order[800:], seed=0)
    assert 0.4 < found.accuracy < 0.6
