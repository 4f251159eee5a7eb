"""Comparisons of alignments over causal models, against numbers worked out by hand."""

import pytest

from iit_lab.analysis.transfer import Trial, advantage, averaged, best_models, compare, frame, own, passes


def trials(values, seed=0, layer=0, rank=4):
    """Of `{(trained, tested): iia}`; label-changing pairs are half as good."""
    return [
        Trial(*pair, layer, rank, seed, {"test/iia": v, "test/iia_changed": v / 2, "test/iia_full_swap": 0.1})
        for pair, v in values.items()
    ]


MATRIX = {
    ("a", "a"): 0.9,
    ("a", "b"): 0.2,
    ("a", "c"): 0.4,
    ("b", "a"): 0.5,
    ("b", "b"): 0.4,
    ("b", "c"): 0.1,
}


def test_the_diagonal_beside_the_largest_of_the_others():
    found = {one.trained: one for one in compare(trials(MATRIX))}
    assert (found["a"].own, found["a"].other, found["a"].floor) == (0.9, 0.4, 0.1)
    assert (found["b"].own, found["b"].other) == (0.4, 0.5)
    assert passes(found.values()) == (1, 2)
    assert passes(found.values(), least=0.35) == (1, 1)


def test_layers_and_ranks_are_kept_apart():
    everything = trials(MATRIX) + trials({("a", "a"): 0.3, ("a", "b"): 0.35}, layer=1)
    found = {(one.trained, one.layer): one for one in compare(everything)}
    assert (found["a", 1].own, found["a", 1].other) == (0.3, 0.35)
    assert found["a", 0].own == 0.9


def test_seeds_are_averaged():
    both = trials({("a", "a"): 0.9}) + trials({("a", "a"): 0.5}, seed=1)
    assert averaged(both, "test/iia") == {("a", "a", 0, 4): pytest.approx(0.7)}


def test_the_best_model_of_each_layer():
    everything = trials(MATRIX) + trials({("a", "a"): 0.3, ("b", "b"): 0.35}, layer=1)
    assert best_models(everything) == [(0, 4, "a", 0.9), (1, 4, "b", 0.35)]
    assert len(own(everything)) == 4


def test_advantage_is_the_median_over_seeds_at_the_best_layer():
    several = []
    for seed, ahead in enumerate([0.6, 0.2, 0.4]):
        several += trials({("a", "a"): 0.8, ("a", "b"): 0.8 - ahead, ("a", "c"): 0.0}, seed)
        several += trials({("a", "a"): 0.7, ("a", "b"): 0.0, ("a", "c"): 0.0}, seed, layer=1)
    assert advantage(several, "a") == pytest.approx(0.2)  # half of .4


def test_advantage_over_alignments_of_their_own():
    assert advantage(trials({("a", "a"): 0.8, ("b", "b"): 0.5, ("c", "c"): 0.3}), "a") == pytest.approx(0.15)
    with pytest.raises(ValueError, match="reference=a: nothing was tested on another model"):
        advantage(trials({("a", "a"): 0.8}), "a")


def test_frame_has_a_row_per_test():
    table = frame(trials(MATRIX))
    assert len(table) == 6 and table["test/iia"].tolist() == list(MATRIX.values())
