import pytest
import torch

from iit_lab.causal.model import CausalModel, Variable
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.tasks.base import Task
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import draw_splits


class Digits(Task):
    """A small space: two digits, is their sum above 5? 1 296 pairs of base and source."""

    n_classes = 2
    input_shape = (2,)
    variables = ("sum",)

    def __init__(self) -> None:
        total = Variable("sum", ("x", "y"), torch.add)
        above = Variable("above", ("sum",), lambda total: total > 5)
        self.causal_model = CausalModel([Variable("x"), Variable("y"), total, above], "above")

    def sample(self, n, generator):
        return {name: torch.randint(6, (n,), generator=generator) for name in "xy"}

    def encode(self, setting):
        return torch.stack([setting["x"], setting["y"]], dim=1)


def splits(task=None, variables=None, predict=None, seed=0, limit=None, **options):
    task = task or HierarchicalEquality()
    policy = CounterfactualPolicy(**{"n_train": 300, "n_val": 50, "n_test": 50, **options})
    return draw_splits(task, policy, variables or task.variables, seed, limit=limit, predict=predict)


def rows(batches) -> set[tuple]:
    return {
        (*batch.base[i].tolist(), *batch.sources[:, i].flatten().tolist())
        for batch in batches
        for i in range(len(batch))
    }


def test_sets_and_sizes():
    found = splits()
    assert [(group.name, len(group)) for group in found.train] == [
        ("left_equality", 100),
        ("right_equality", 100),
        ("left_equality+right_equality", 100),
    ]
    assert [len(group) for group in found.test] == [50, 50, 50]
    assert found.test[2].sources.shape == (2, 50, 16)


@pytest.mark.parametrize("entries", [60, 2**23])
def test_splits_share_no_pair_in_a_small_space(entries, monkeypatch):
    monkeypatch.setattr("iit_lab.training.data.ENTRIES", entries)
    found = splits(Digits(), n_train=600, n_val=300, n_test=60)
    train, val, test = rows(found.train), rows(found.val), rows(found.test)
    assert not train & val
    assert not (train | val) & test


def test_a_space_too_small_is_said():
    with pytest.raises(ValueError, match="after 200 rounds .* pairs are still missing"):
        splits(Digits(), n_train=50_000)


def test_the_same_seed_gives_the_same_data():
    first, again, other = splits(), splits(), splits(seed=1)
    assert torch.equal(first.test[1].base, again.test[1].base)
    assert not torch.equal(first.test[1].base, other.test[1].base)


def test_the_test_data_do_not_depend_on_what_is_trained_on():
    assert torch.equal(splits().test[0].base, splits(train_sets=["joint"]).test[0].base)


def test_only_pairs_that_the_network_gets_right():
    task = HierarchicalEquality()

    def predict(inputs):  # right if the first entry is positive, wrong otherwise
        objects = dict(zip("abcd", inputs.chunk(4, dim=1), strict=True))
        label = task.causal_model.run(objects)["same"].long()
        return torch.where(inputs[:, 0] > 0, label, 1 - label)

    found = splits(filter="correct", predict=predict)
    for batch in (*found.train, *found.val, *found.test):
        assert (batch.base[:, 0] > 0).all()
        assert (batch.sources[:, :, 0] > 0).all()


def test_mixed_rows_in_one_group():
    (group,) = splits(mixed=True).train
    assert group.intervened.any(1).all()
    assert not group.intervened.all()


def test_behaviour_alone():
    found = splits(train_sets=[], test_sets=[])
    (group,) = found.train
    assert group.variables == ()
    assert group.sources.shape == (0, 300, 16)
    assert torch.equal(group.base_label, group.counterfactual_label)


def test_one_source_for_all_variables_of_a_row():
    found = splits(sources="single")
    assert [group.sources.shape[0] for group in (*found.train, *found.val, *found.test)] == [1] * 9


def test_balanced_in_every_split():
    found = splits(balance=["base_label", "counterfactual_label"], n_val=40, n_test=80)
    for group in (*found.train, *found.val, *found.test):
        strata = group.base_label * 2 + group.counterfactual_label
        assert strata.bincount().tolist() == [len(group) // 4] * 4


def test_every_set_and_split_has_inputs_of_its_own():
    found = splits(n_train=150)
    bases = [{tuple(row) for row in group.base.tolist()} for group in (*found.train, *found.val, *found.test)]
    assert len(set.union(*bases)) == sum(map(len, bases)) == 9 * 50


def test_a_limit_makes_every_set_small():
    found = splits(limit=7)
    assert {len(group) for group in (*found.train, *found.val, *found.test)} == {7}


class Zeros(Digits):
    """One input, written in several ways: rounding makes minus zeros."""

    def sample(self, n, generator):
        return {name: torch.where(torch.rand(n, generator=generator) < 0.5, 0.0, -0.0) for name in "xy"}


def test_zero_and_minus_zero_are_the_same_input():
    with pytest.raises(ValueError, match="n=1: after 200 rounds 1 pairs are still missing"):
        splits(Zeros(), n_train=1, n_val=1, n_test=1)


def test_a_filter_needs_predictions():
    with pytest.raises(ValueError, match="filter=correct: needs a network's predictions"):
        splits(filter="correct")
