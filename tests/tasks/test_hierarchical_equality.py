import pytest
import torch

from iit_lab.causal.counterfactuals import draw
from iit_lab.randomness import generator_for
from iit_lab.tasks.hierarchical_equality import HYPOTHESES, HierarchicalEquality

N = 4000


def sample(**options):
    task = HierarchicalEquality(**options)
    return task, task.sample(N, generator_for(0, "test"))


@pytest.mark.parametrize("decimals", [None, 0], ids=["continuous", "objects that share entries"])
def test_label_against_python_s_own_equality(decimals):
    task, setting = sample(low=-1.0, high=1.0, decimals=decimals)
    rows = {name: [tuple(row) for row in setting[name].tolist()] for name in "abcd"}
    expected = [(rows["a"][i] == rows["b"][i]) == (rows["c"][i] == rows["d"][i]) for i in range(N)]
    assert task.causal_model.run(setting)["same"].tolist() == expected


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
def test_labels_and_variables_are_balanced(hypothesis):
    task, setting = sample(hypothesis=hypothesis)
    values = task.causal_model.run(setting)
    for name in ("same", *task.variables):
        if values[name].ndim == 1:
            assert abs(values[name].float().mean() - 0.5) < 0.04


@pytest.mark.parametrize(("low", "high", "decimals"), [(-0.5, 0.5, None), (-1.0, 1.0, 2)])
def test_objects_lie_in_their_range(low, high, decimals):
    _, setting = sample(low=low, high=high, decimals=decimals)
    entries = torch.cat([setting[name] for name in "abcd"])
    assert entries.min() >= low
    assert entries.max() <= high
    assert abs(entries.mean()) < 0.02
    assert entries.std() == pytest.approx((high - low) / 12**0.5, rel=0.02)
    if decimals is not None:
        torch.testing.assert_close(entries * 100, (entries * 100).round(), atol=1e-4, rtol=0)


def test_encoding_is_the_four_vectors_in_order():
    task, setting = sample(embedding_dim=3)
    assert torch.equal(task.encode(setting)[:, 6:9], setting["c"])
    assert task.input_shape == (12,)


def test_first_argument_has_balanced_counterfactual_labels():
    """Two random objects are never equal: without matched sources the label would be one-sided."""
    task = HierarchicalEquality(hypothesis="first_argument")
    pairs = draw(task.causal_model, task, task.variables, N, generator_for(0, "pairs"))
    changed = (pairs.base_label != pairs.counterfactual_label).float().mean()
    assert abs(pairs.counterfactual_label.float().mean() - 0.5) < 0.04
    assert abs(changed - 0.5) < 0.04
    source_equal = (pairs.sources[0]["a"] == pairs.sources[0]["b"]).all(1).float().mean()
    assert abs(source_equal - 0.5) < 0.04


def test_the_wrong_model_compares_across():
    wrong = HierarchicalEquality().wrong()
    setting = {
        name: torch.tensor([[value]]) for name, value in zip("abcd", [1.0, 2.0, 1.0, 3.0], strict=True)
    }
    values = wrong.causal_model.run(setting)
    assert (values["first_equality"].item(), values["second_equality"].item()) == (True, False)
    assert HierarchicalEquality(hypothesis="first_argument").wrong() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hypothesis": "equal"}, "hypothesis=equal: valid are"),
        ({"embedding_dim": 0}, "embedding_dim=0"),
        ({"low": 1.0, "high": 0.0}, "low=1.0: must be below high=0.0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalEquality(**options)


@pytest.mark.parametrize("right_equal", [True, False])
def test_first_argument_makes_the_pair_equal_half_of_the_time_whatever_the_other_is(right_equal):
    task = HierarchicalEquality(hypothesis="first_argument")
    pairs = draw(task.causal_model, task, task.variables, N, generator_for(0, "pairs"))
    chosen = (pairs.base["c"] == pairs.base["d"]).all(1) == right_equal
    assert abs(pairs.counterfactual_label[chosen].float().mean() - 0.5) < 0.04
