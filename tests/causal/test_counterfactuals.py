import pytest
import torch

from iit_lab.causal.counterfactuals import distinguish, draw
from iit_lab.causal.policy import CounterfactualPolicy, expand_sets
from iit_lab.randomness import generator_for
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality

TASK = HierarchicalEquality()
LEFT, RIGHT = TASK.variables


def pairs(variables=(LEFT,), n=1000, seed=0, task=TASK, **options):
    return draw(task.causal_model, task, variables, n, generator_for(seed, "test"), **options)


def equal(setting, first, second) -> torch.Tensor:
    return torch.tensor([bool((x == y).all()) for x, y in zip(setting[first], setting[second], strict=True)])


def test_labels_by_the_benchmark_s_rule():
    """V1 from the source, V2 from the base (II-Benchmark, variable V1)."""
    found = pairs()
    expected = equal(found.sources[0], "a", "b") == equal(found.base, "c", "d")
    assert torch.equal(found.counterfactual_label, expected.long())


def test_both_variables_each_from_its_own_source():
    found = pairs((LEFT, RIGHT))
    expected = equal(found.sources[0], "a", "b") == equal(found.sources[1], "c", "d")
    assert torch.equal(found.counterfactual_label, expected.long())


def test_both_variables_from_a_shared_source():
    found = pairs((LEFT, RIGHT), shared_source=True)
    assert len(found.sources) == 1
    expected = equal(found.sources[0], "a", "b") == equal(found.sources[0], "c", "d")
    assert torch.equal(found.counterfactual_label, expected.long())


def test_eight_equal_strata_as_in_the_benchmark():
    found = pairs(balance=["base", "source"])
    strata = torch.stack(
        [equal(found.base, "a", "b"), equal(found.base, "c", "d"), equal(found.sources[0], "a", "b")], dim=1
    )
    values, counts = torch.unique(strata, dim=0, return_counts=True)
    assert len(values) == 8
    assert counts.tolist() == [125] * 8


def test_balanced_rows_are_in_no_order_of_strata():
    """A network that is trained on the first half of the rows would see half of the strata."""
    labels = pairs(balance=["counterfactual_label"]).counterfactual_label
    assert 400 < labels[:500].sum() + (1 - labels[500:]).sum() < 600


def test_a_rare_stratum_is_drawn_until_it_is_full():
    """The filter keeps one in twenty of one label, so that several rounds are needed."""
    chance = generator_for(0, "keep")

    def keep(some):
        return (some.base_label == 0) | (torch.rand(len(some), generator=chance) < 0.05)

    assert pairs(n=200, balance=["base_label"], keep=keep).base_label.sum() == 100


@pytest.mark.parametrize("column", ["base_label", "counterfactual_label", "changed"])
def test_balanced_columns(column):
    found = pairs((LEFT, RIGHT), n=501, balance=[column])
    values = found.base_label != found.counterfactual_label if column == "changed" else getattr(found, column)
    assert abs(2 * int(values.sum()) - 501) == 1


def test_each_row_may_have_a_set_of_its_own():
    found = pairs((LEFT, RIGHT), sets=[(LEFT,), (RIGHT,), (LEFT, RIGHT)], n=3000)
    rows, counts = torch.unique(found.intervened, dim=0, return_counts=True)
    assert rows.tolist() == [[False, True], [True, False], [True, True]]
    assert all(900 < count < 1100 for count in counts.tolist())
    only_right = found.intervened[:, 0].logical_not()
    expected = equal(found.base, "a", "b") == equal(found.sources[1], "c", "d")
    assert torch.equal(found.counterfactual_label[only_right], expected.long()[only_right])


def test_the_same_seed_gives_the_same_pairs():
    first, again, other = pairs(), pairs(), pairs(seed=1)
    assert torch.equal(first.base["a"], again.base["a"])
    assert not torch.equal(first.base["a"], other.base["a"])


def test_keep_selects_and_the_number_stays():
    found = pairs(keep=lambda some: some.base_label == 1, n=300)
    assert len(found) == 300
    assert found.base_label.all()


def test_what_nobody_can_satisfy_is_said():
    with pytest.raises(ValueError, match="n=10: after 200 rounds 10 pairs are still missing"):
        pairs(n=10, keep=lambda some: torch.zeros(len(some), dtype=torch.bool))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0: an empty data set"),
        ({"balance": ["colour"]}, "balance=.'colour'.: valid are"),
    ],
)
def test_bad_requests(options, message):
    with pytest.raises(ValueError, match=message):
        pairs(**options)


def test_only_discrete_variables_are_balanced():
    task = HierarchicalEquality(hypothesis="first_argument")
    with pytest.raises(ValueError, match="balance=base: only discrete variables can be balanced"):
        pairs(task.variables, task=task, balance=["base"])


def test_distinguish_is_the_share_of_different_labels():
    found = pairs((LEFT, RIGHT), n=400)
    crossed = HierarchicalEquality(hypothesis="crossed")
    share = distinguish(TASK.causal_model, crossed.causal_model, found, crossed.variables)
    different = 0
    for i in range(400):
        ours = equal_one(found.sources[0], "ab", i) == equal_one(found.sources[1], "cd", i)
        theirs = equal_one(found.sources[0], "ac", i) == equal_one(found.sources[1], "bd", i)
        different += ours != theirs
    assert share == pytest.approx(different / 400)
    assert distinguish(TASK.causal_model, TASK.causal_model, found) == 0


def equal_one(setting, names: str, i: int) -> bool:
    return setting[names[0]][i].tolist() == setting[names[1]][i].tolist()


def test_sets_of_variables():
    names = ("x", "y", "z")
    assert expand_sets(["each"], names, "sets") == [("x",), ("y",), ("z",)]
    assert expand_sets(["joint", ["z", "x"], "y"], names, "sets") == [names, ("x", "z"), ("y",)]
    assert expand_sets(["each", "joint"], ("x",), "sets") == [("x",)]
    with pytest.raises(ValueError, match="sets=.'w'.: valid are each, joint, or lists of"):
        expand_sets([["w"]], names, "sets")


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="n_test=0: an empty data set"):
        CounterfactualPolicy(n_train=1, n_val=1, n_test=0)


def test_sources_of_nothing_cannot_be_balanced():
    with pytest.raises(ValueError, match="balance=source: no variable is intervened in"):
        pairs((), balance=["source"])
