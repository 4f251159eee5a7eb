"""Our interventions against pyvene's classes, on the same weights."""

import pytest
import torch
from pyvene import (
    LowRankRotatedSpaceIntervention,
    RotatedSpaceIntervention,
    VanillaIntervention,
    ZeroIntervention,
)

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.counterfactuals import draw
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.zero import Zero
from iit_lab.metrics.iia import InterchangeAccuracy
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation, Rotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import encode

TASK = HierarchicalEquality()
LEFT, RIGHT = TASK.variables
TIGHT = {"atol": 1e-6, "rtol": 0}


@pytest.fixture
def model() -> MLP:
    return MLP([16, 16, 16], TASK.input_shape, 2, generator_for(0, "network"))


@pytest.fixture
def batch() -> InterchangeBatch:
    return encode(TASK, draw(TASK.causal_model, TASK, TASK.variables, 64, generator_for(0, "pairs")))


def hooked(model: MLP, inputs: torch.Tensor, layer: int, change) -> torch.Tensor:
    """Logits of the network as plain torch, with one layer's output passed through `change`."""
    value = inputs
    for i, linear in enumerate(model.layers):
        value = torch.nn.functional.linear(value, linear.weight, linear.bias)
        if i < len(model.layers) - 1:
            value = value.relu()
        if i == layer:
            value = change(value)
    return value


def activation(model: MLP, inputs: torch.Tensor, layer: int) -> torch.Tensor:
    seen = []
    hooked(model, inputs, layer, lambda value: seen.append(value) or value)
    return seen[0]


@pytest.mark.parametrize("layer", [0, 1, 2])
@torch.no_grad()
def test_rotated_with_two_variables_in_disjoint_slices(model, batch, layer):
    ours = Intervention(
        place(TASK.variables, layer), model, Interchange(), Rotation, generator_for(1), rank=8
    )
    theirs = RotatedSpaceIntervention(embed_dim=16)
    theirs.rotate_layer.weight = ours.subspaces[0].basis()
    sources = [activation(model, source, layer) for source in batch.sources]

    def change(value):
        for i, source in enumerate(sources):
            value = theirs(value.clone(), source, subspaces=[list(range(8 * i, 8 * i + 8))] * len(value))
        return value

    logits = interchange(model, ours, batch).counterfactual
    torch.testing.assert_close(logits, hooked(model, batch.base, layer, change), **TIGHT)


@torch.no_grad()
def test_low_rank(model, batch):
    alignment = place(TASK.variables, 1, variables=[LEFT])
    ours = Intervention(alignment, model, Interchange(), LowRankRotation, generator_for(1), rank=5)
    theirs = LowRankRotatedSpaceIntervention(embed_dim=16, low_rank_dimension=5)
    theirs.rotate_layer.weight = ours.subspaces[0].basis()
    one = encode(TASK, draw(TASK.causal_model, TASK, [LEFT], 64, generator_for(0, "one")))
    source = activation(model, one.sources[0], 1)
    logits = interchange(model, ours, one).counterfactual
    expected = hooked(model, one.base, 1, lambda value: theirs(value.clone(), source))
    torch.testing.assert_close(logits, expected, **TIGHT)


@pytest.mark.parametrize(("write", "theirs"), [(Interchange, VanillaIntervention), (Zero, ZeroIntervention)])
@torch.no_grad()
def test_whole_layer_interchange_and_zero(model, write, theirs):
    one = encode(TASK, draw(TASK.causal_model, TASK, [LEFT], 64, generator_for(0, "one")))
    alignment = place(TASK.variables, 1, variables=[LEFT])
    ours = Intervention(alignment, model, write(), IdentitySlice, generator_for(1))
    source = activation(model, one.sources[0], 1)
    module = theirs(embed_dim=16)
    expected = hooked(model, one.base, 1, lambda value: module(value.clone(), source))
    torch.testing.assert_close(interchange(model, ours, one).counterfactual, expected, **TIGHT)


@torch.no_grad()
def test_iia_is_that_of_a_plain_loop_over_examples(model, batch):
    ours = Intervention(place(TASK.variables, 0), model, Interchange(), Rotation, generator_for(1), rank=8)
    outputs = interchange(model, ours, batch, want_base=True)
    metric = InterchangeAccuracy()
    metric.update(outputs.base, outputs.counterfactual, batch.base_label, batch.counterfactual_label, [])

    basis = ours.subspaces[0].basis()
    right = 0
    for i in range(len(batch)):
        value = activation(model, batch.base[i : i + 1], 0)
        for variable in (0, 1):
            source = activation(model, batch.sources[variable, i : i + 1], 0)
            columns = basis[:, 8 * variable : 8 * variable + 8]
            for column in columns.T:  # one direction at a time
                value = value + ((source - value) @ column)[:, None] * column
        logits = hooked(model, batch.base[i : i + 1], 0, lambda _, value=value: value)
        right += int(logits.argmax()) == int(batch.counterfactual_label[i])
    assert metric.compute()["iia"] == right / len(batch)
