import pytest
import torch
from sklearn.metrics import accuracy_score

from iit_lab.metrics.iia import InterchangeAccuracy
from iit_lab.randomness import generator_for

GENERATOR = generator_for(0, "test")
N = 200
BASE, OTHER, SWAP1, SWAP2 = torch.randn(4, N, 3, generator=GENERATOR)
LABEL, COUNTERFACTUAL = torch.randint(3, (2, N), generator=GENERATOR)


def computed(*ranges: tuple[int, int]) -> dict[str, float]:
    metric = InterchangeAccuracy()
    for start, stop in ranges:
        rows = slice(start, stop)
        metric.update(BASE[rows], OTHER[rows], LABEL[rows], COUNTERFACTUAL[rows], [SWAP1[rows], SWAP2[rows]])
    return metric.compute()


def test_against_scikit_learn_and_a_loop():
    found = computed((0, N))
    plain, intervened = BASE.argmax(1), OTHER.argmax(1)
    changed = [i for i in range(N) if LABEL[i] != COUNTERFACTUAL[i]]
    stays = [i for i in range(N) if LABEL[i] == COUNTERFACTUAL[i]]
    assert found["iia"] == accuracy_score(COUNTERFACTUAL, intervened)
    assert found["iia_noop"] == accuracy_score(COUNTERFACTUAL, plain)
    assert found["accuracy"] == accuracy_score(LABEL, plain)
    assert found["iia_changed"] == accuracy_score(COUNTERFACTUAL[changed], intervened[changed])
    assert found["iia_unchanged"] == accuracy_score(COUNTERFACTUAL[stays], intervened[stays])
    swaps = [accuracy_score(COUNTERFACTUAL, swap.argmax(1)) for swap in (SWAP1, SWAP2)]
    assert found["iia_full_swap"] == pytest.approx(sum(swaps) / 2)
    assert found["effect"] == sum(bool(plain[i] != intervened[i]) for i in range(N)) / N
    assert found["ablated_accuracy"] == accuracy_score(LABEL, intervened)


def test_batches_of_any_size_add_up():
    assert computed((0, 13), (13, 14), (14, N)) == computed((0, N))


def test_states_of_two_processes_add_up():
    """What torchmetrics does under DDP: sum the states, then compute."""
    parts = [InterchangeAccuracy(), InterchangeAccuracy()]
    for part, rows in zip(parts, (slice(0, 77), slice(77, N)), strict=True):
        part.update(BASE[rows], OTHER[rows], LABEL[rows], COUNTERFACTUAL[rows], [SWAP1[rows], SWAP2[rows]])
    whole = InterchangeAccuracy()
    for name, reduce in whole._reductions.items():
        setattr(whole, name, reduce(torch.stack([getattr(part, name) for part in parts])))
    whole._update_count = 1
    assert whole.compute() == computed((0, N))


def test_what_has_no_pairs_is_left_out():
    metric = InterchangeAccuracy()
    metric.update(BASE, OTHER, LABEL, LABEL, [])
    assert not {"iia_changed", "iia_full_swap"} & set(metric.compute())
