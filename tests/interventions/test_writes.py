"""Ablations in a rotated subspace and their means, against plain loops over rows."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.mean import Mean
from iit_lab.interventions.resample import Resample
from iit_lab.interventions.zero import Zero
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation

N = 6
MODEL = MLP([7, 5], (4,), 3, generator_for(0, "network"))
BASE, ELSEWHERE = torch.randn(2, N, 4, generator=generator_for(0, "inputs"))
VARIABLES = ("left", "right")


def batch(variables=VARIABLES, intervened=None) -> InterchangeBatch:
    """No sources: an ablation must not look at them."""
    label = torch.zeros(N, dtype=torch.long)
    return InterchangeBatch(BASE, BASE.new_empty(0, N, 4), variables, intervened, label, label)


def ablation(write, **where) -> Intervention:
    alignment = place(VARIABLES, 0, **where)
    return Intervention(alignment, MODEL, write(), LowRankRotation, generator_for(1), rank=2)


def hidden(inputs):
    """Layer 0, one row at a time."""
    return [(MODEL.layers[0].weight @ row + MODEL.layers[0].bias).relu() for row in inputs]


def logits(rows):
    second, last = MODEL.layers[1], MODEL.layers[2]
    return torch.stack([last.weight @ (second.weight @ row + second.bias).relu() + last.bias for row in rows])


def replaced(row, target, columns):
    """The coordinates of a row along orthonormal columns, one after another, set to those of a target."""
    for column in columns.T:
        row = row + ((target - row) @ column) * column
    return row


TARGETS = {
    Zero: lambda i: torch.zeros(7),
    Mean: lambda i: sum(hidden(ELSEWHERE)) / N,
    Resample: lambda i: hidden(BASE)[i - 1],
}


@pytest.mark.parametrize("write", TARGETS)
@pytest.mark.parametrize(
    ("variables", "dims"), [(("left",), [0, 1]), (("right",), [2, 3]), (VARIABLES, range(4))]
)
@torch.no_grad()
def test_only_the_variables_own_directions_are_ablated(write, variables, dims):
    intervention = ablation(write)
    intervention.calibrate(MODEL, ELSEWHERE)
    columns = intervention.subspaces[0].basis()[:, list(dims)]
    expected = logits([replaced(row, TARGETS[write](i), columns) for i, row in enumerate(hidden(BASE))])
    found = interchange(MODEL, intervention, batch(variables)).counterfactual
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("write", TARGETS)
@torch.no_grad()
def test_rows_that_are_not_intervened_in_are_left_alone(write):
    intervention = ablation(write)
    intervention.calibrate(MODEL, ELSEWHERE)
    mask = torch.tensor([[True], [False]] * (N // 2))
    found = interchange(MODEL, intervention, batch(("left",), mask)).counterfactual
    changed = (found - MODEL(BASE)).abs().amax(1) > 1e-6
    assert changed.tolist() == [True, False] * (N // 2)


@torch.no_grad()
def test_the_mean_is_that_of_the_inputs_given_to_calibrate():
    whole = Intervention(
        place(VARIABLES, 0, variables=["left"]), MODEL, Mean(), LowRankRotation, generator_for(1), rank=7
    )
    whole.calibrate(MODEL, ELSEWHERE)
    expected = logits([sum(hidden(ELSEWHERE)) / N] * N)
    found = interchange(MODEL, whole, batch(("left",))).counterfactual
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("write", "kept"), [(Mean, True), (Zero, False), (Resample, False), (Interchange, False)]
)
def test_only_a_mean_ablation_keeps_means_among_its_weights(write, kept):
    assert any(name.startswith("mean_") for name in ablation(write).state_dict()) is kept


@torch.no_grad()
def test_means_are_read_back_with_the_weights():
    first, second = ablation(Mean), ablation(Mean)
    first.calibrate(MODEL, ELSEWHERE)
    second.load_state_dict(first.state_dict())
    outputs = [interchange(MODEL, each, batch()).counterfactual for each in (first, second)]
    assert torch.equal(*outputs)


@pytest.mark.parametrize("write", [Zero, Mean, Resample])
def test_an_ablation_has_no_counterfactual_label(write):
    assert not write.counterfactual
    assert Interchange.counterfactual
