from dataclasses import replace

import pytest
import torch

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.training.batches import EvaluationBatches, TrainingBatches


def group(n: int, first: int = 0, variables=("v",)) -> InterchangeBatch:
    """Rows that can be told apart by their base."""
    base = torch.arange(first, first + n, dtype=torch.float).unsqueeze(1)
    return InterchangeBatch(
        base, base.unsqueeze(0) + 0.5, variables, None, base[:, 0].long(), base[:, 0].long()
    )


def seen(batches: TrainingBatches) -> list[list[int]]:
    return [part.base_label.tolist() for chunk in batches for part in chunk]


def test_an_epoch_has_every_row_once_and_batches_of_one_group():
    batches = TrainingBatches([group(12), group(8, 100)], 4, seed=0, chunk=2, epochs=1)
    found = seen(batches)
    assert sorted(row for batch in found for row in batch) == [*range(12), *range(100, 108)]
    assert all(max(batch) < 50 or min(batch) >= 100 for batch in found)
    assert [len(batch) for batch in found] == [4] * 5


def test_rows_stay_together():
    for chunk in TrainingBatches([group(8)], 4, seed=0, chunk=2, epochs=1):
        for batch in chunk:
            assert torch.equal(batch.sources[0], batch.base + 0.5)


def test_order_depends_on_seed_and_epoch_only():
    batches = TrainingBatches([group(40)], 4, seed=0, chunk=1, epochs=2)
    first, second = seen(batches), seen(batches)
    again = TrainingBatches([group(40)], 4, seed=0, chunk=7, epochs=2)
    assert first != second
    assert [seen(again), seen(again)] == [first, second]
    assert seen(TrainingBatches([group(40)], 4, seed=1, chunk=1, epochs=1)) != first


def test_a_restored_position_goes_on_where_it_stopped():
    whole = TrainingBatches([group(40)], 4, seed=0, chunk=3, epochs=2)
    expected = seen(whole) + seen(whole)
    stopped = TrainingBatches([group(40)], 4, seed=0, chunk=3, epochs=2)
    iterator = iter(stopped)
    done = [part.base_label.tolist() for _ in range(2) for part in next(iterator)]
    resumed = TrainingBatches([group(40)], 4, seed=0, chunk=3, epochs=2)
    resumed.load_state_dict(stopped.state_dict())
    assert done + seen(resumed) + seen(resumed) == expected


@pytest.mark.parametrize(
    ("epochs", "max_steps", "total", "lengths"),
    [(2, None, 20, [4, 4]), (2, 13, 13, [4, 1]), (9, 7, 7, [3]), (1, 99, 10, [4])],
)
def test_how_long_it_lasts(epochs, max_steps, total, lengths):
    batches = TrainingBatches([group(40)], 4, seed=0, chunk=3, epochs=epochs, max_steps=max_steps)
    assert batches.total_steps == total
    assert batches.epochs == len(lengths)
    found = []
    for length in lengths:
        assert len(batches) == length
        found.append(len(list(batches)))
    assert found == lengths


def test_a_batch_is_no_larger_than_the_smallest_group():
    batches = TrainingBatches([group(40), group(3, 100)], 16, seed=0, chunk=1, epochs=1)
    assert {len(batch) for batch in seen(batches)} == {3}


@pytest.mark.parametrize("name", ["batch_size", "steps_per_call", "max_epochs", "max_steps"])
def test_sizes_below_one_are_refused(name):
    sizes = {"batch_size": 4, "steps_per_call": 1, "max_epochs": 1, "max_steps": 1, name: 0}
    with pytest.raises(ValueError, match=f"{name}=0: must be at least 1"):
        TrainingBatches(
            [group(4)],
            sizes["batch_size"],
            0,
            sizes["steps_per_call"],
            sizes["max_epochs"],
            sizes["max_steps"],
        )


@pytest.mark.parametrize(
    ("n", "size", "expected"), [(10, 4, [3, 3, 4]), (4, 4, [4]), (5, 4, [2, 3]), (1, 4, [1])]
)
def test_evaluation_has_every_row_in_order_and_no_crumb(n, size, expected):
    batches = EvaluationBatches([group(n), group(2, 100)], size)
    rows = [batch.base_label.tolist() for batch in batches]
    assert [len(batch) for batch in rows[:-1]] == expected
    assert sum(rows, []) == [*range(n), 100, 101]
    assert len(batches) == len(rows)


def test_batches_of_different_groups_are_mixed():
    found = seen(TrainingBatches([group(40), group(40, 100)], 4, seed=0, chunk=1, epochs=1))
    groups = [batch[0] >= 100 for batch in found]
    assert groups not in (sorted(groups), sorted(groups, reverse=True))


def test_rows_keep_which_variables_they_fix():
    plain = group(8, variables=("v", "w"))
    mask = torch.stack([plain.base_label % 2 == 0, plain.base_label % 3 == 0], dim=1)
    (chunk,) = TrainingBatches([replace(plain, intervened=mask)], 4, seed=0, chunk=2, epochs=1)
    for batch in chunk:
        assert batch.intervened.tolist() == [[i % 2 == 0, i % 3 == 0] for i in batch.base_label.tolist()]
