"""Scores of the handcrafted network, whose alignment is known, and of search on it; scikit-learn's report."""

import pytest
import torch
from sklearn.metrics import classification_report

from iit_lab.alignment.sampling import Home
from iit_lab.benchmark.draw import elsewhere
from iit_lab.benchmark.leaderboard import Entry, entry, ranked
from iit_lab.benchmark.masks import mask_search
from iit_lab.benchmark.scoring import NetworkScore, SetScore, averaged, class_reports, score
from iit_lab.benchmark.search import block_search
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.models.handcrafted_equality import HandcraftedEquality
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import draw_splits

TASK = HierarchicalEquality()
LEFT, RIGHT = TASK.variables
BOTH = f"{LEFT}+{RIGHT}"
CPU = torch.device("cpu")
POLICY = CounterfactualPolicy(n_train=1, n_val=1, n_test=400, balance=("base", "source"))
TRUE = {LEFT: (Home(0, (0, 1, 2, 3, 4, 5, 6, 7)),), RIGHT: (Home(0, (8, 9, 10, 11, 12, 13, 14, 15)),)}


@pytest.fixture(scope="module")
def groups():
    return draw_splits(TASK, POLICY, (LEFT, RIGHT), 0).test


@pytest.fixture(scope="module")
def model():
    return HandcraftedEquality(TASK.input_shape, 2).eval()


def test_the_true_alignment_is_perfect_and_beats_its_baselines(model, groups):
    found = score(model, TRUE, groups, 128, CPU)
    assert found.accuracy == 1 and set(found.sets) == {LEFT, RIGHT, BOTH}
    for own in found.sets.values():
        assert own.iia == 1 and own.noop == pytest.approx(0.5, abs=0.06) and own.above > 0.4
        assert sum(report.support for report in own.classes.values()) == 400
        assert all(report.f1 == 1 for report in own.classes.values())


def test_sets_with_unclaimed_variables_are_left_out(model, groups):
    found = score(model, {LEFT: TRUE[LEFT]}, groups, 128, CPU)
    assert set(found.sets) == {LEFT}
    with pytest.raises(ValueError, match="no test set"):
        score(model, {LEFT: TRUE[LEFT]}, groups[1:], 128, CPU)


def test_reports_are_scikit_learns():
    labels, predicted = [0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 1]
    theirs = classification_report(labels, predicted, output_dict=True, zero_division=0)
    for label, own in class_reports(labels, predicted).items():
        known = theirs[str(label)]
        assert (own.precision, own.recall, own.f1) == (
            known["precision"],
            known["recall"],
            known["f1-score"],
        )
        assert own.support == known["support"]


def test_averages_add_up_supports():
    one = SetScore(1.0, 0.5, 0.4, class_reports([0, 1], [0, 1]))
    two = SetScore(0.5, 0.5, 0.6, class_reports([0, 0], [0, 1]))
    mean = averaged([one, two])
    assert (mean.iia, mean.noop, mean.full_swap) == (0.75, 0.5, 0.5)
    assert mean.classes[0].recall == 0.75 and mean.classes[0].support == 3


@pytest.mark.parametrize("search", [block_search, mask_search])
def test_searches_find_the_handcrafted_alignment(model, groups, search):
    practice = draw_splits(TASK, POLICY, (LEFT, RIGHT), 1).test
    torch.manual_seed(0)
    found = search(model, practice)
    reached = score(model, found, groups, 128, CPU)
    assert min(own.iia for own in reached.sets.values()) > 0.98
    assert all(home.layer == 0 for homes in found.values() for home in homes)


def test_a_search_for_one_variable_prefers_few_units(groups):
    """Of a network that only copies: layer 0's unit 2 decides, so a block of that one unit wins."""
    model = MLP([4], TASK.input_shape, 2, generator_for(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.layers[0].weight[2, 0] = 1.0
        model.layers[1].weight[1, 2], model.layers[1].bias[1] = 1.0, -1e-6
    base, source = torch.zeros(50, 16), torch.zeros(50, 16)
    source[::2, 0] = 1.0
    group = groups[0].rows(slice(0, 50))
    label = (source[:, 0] > 0).long()
    from dataclasses import replace

    group = replace(group, base=base, sources=source[None], counterfactual_label=label)
    assert block_search(model, [group])[LEFT] == (Home(0, (2,)),)


def test_elsewhere_is_orthogonal_to_the_truth_or_in_the_last_layer():
    model = MLP([8, 8, 8], (4,), 2, generator_for(0))
    true = {"a": (Home(1, (1, 2)),), "b": (Home(1, (5,)),)}
    wrong = elsewhere(true, model, ("a", "b"))
    units = [unit for homes in wrong.values() for home in homes for unit in home.units]
    assert len(units) == len(set(units)) == 3 and not {1, 2, 5} & set(units)
    basis = torch.linalg.qr(torch.randn(8, 3, generator=generator_for(1))).Q
    rotated = {"a": (Home(0, (), basis[:, :2]),), "b": (Home(0, (), basis[:, 2:]),)}
    for homes in elsewhere(rotated, model, ("a", "b")).values():
        for home in homes:
            assert float((home.directions(8).mT @ basis).abs().max()) < 1e-5
    full = {"a": (Home(1, tuple(range(5))),), "b": (Home(1, (5, 6, 7)),)}
    assert {home.layer for homes in elsewhere(full, model, ("a", "b")).values() for home in homes} == {2}
    last = {"a": (Home(2, tuple(range(5))),), "b": (Home(2, (5,)),)}
    wrong = elsewhere(last, model, ("a",))
    assert {unit for home in wrong["a"] for unit in home.units} <= {6, 7}


def test_the_leaderboard_ranks_by_what_is_above_the_baselines_then_by_size():
    def network(iia):
        return NetworkScore(1.0, {"a": SetScore(iia, 0.5, 0.4, {})})

    trained = {"n1": ["a"], "n2": ["a"]}
    large = entry("large", {"n1": network(0.9), "n2": network(0.9)}, trained, {"n1": 8, "n2": 8})
    small = entry("small", {"n1": network(0.9), "n2": network(0.9)}, trained, {"n1": 2, "n2": 4})
    half = entry("half", {"n1": network(1.0)}, trained, {"n1": 1}, [(0.5, 0.7), (None, 0.1)])
    assert [each.name for each in ranked([half, large, small])] == ["small", "large", "half"]
    assert small == Entry("small", 2, 0.9, small.above, 3.0) and small.above == pytest.approx(0.4)
    assert half.above == 0.25 and half.jaccard == 0.5 and half.overlap == pytest.approx(0.4)
