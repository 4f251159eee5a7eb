"""Stacked interventions give what each would give alone, whatever they are and wherever they write."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import finish, interchange, prefix
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.stack import finish_stacked
from iit_lab.models.gpt2_loading import classifier
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.training.cache import Activations

SIZES = {"n_layer": 4, "n_embd": 16, "n_head": 2, "n_positions": 8, "vocab_size": 12}
SIZES |= {"bos_token_id": None, "eos_token_id": None}
PLACES = {
    "all positions": [{"position": None}],
    "per position": [{"position": 1}, {"position": 4}],
    "two layers": [{"layer": 1}, {"layer": 2}],
    "within a block": [{"component": "mlp_output"}],
    "a block and what follows": [{"component": "attention_output", "position": 2}, {"position": 3}],
    "a head": [{"component": "attention_value_output", "heads": 1}],
}


@pytest.fixture
def model():
    made = classifier((6,), 5, generator_for(0, "model"), config=SIZES).eval()
    return made.requires_grad_(False)


@pytest.fixture
def batch() -> InterchangeBatch:
    generator = generator_for(0, "data")
    tokens = torch.randint(0, 12, (2, 9, 6), generator=generator)
    labels = torch.randint(0, 5, (2, 9), generator=generator)
    return InterchangeBatch(tokens[0], tokens[1:], ("P",), None, labels[0], labels[1])


@pytest.mark.parametrize("where", PLACES.values(), ids=list(PLACES))
@pytest.mark.parametrize("keep", [True, False], ids=["kept", "computed anew"])
def test_a_stacked_pass_is_each_alone(model, batch, where, keep):
    alignment = place(("P",), layer=1, variables={"P": where})
    cells = [
        Intervention(alignment, model, Interchange(), LowRankRotation, generator_for(i, "own"), rank=i + 1)
        for i in range(3)
    ]
    activations = Activations(model, [batch], 4, torch.device("cpu"))
    stage = min(place.point.stage for place in cells[0].places)
    activations.reach(stage) if keep else activations.forget(stage)
    indexed = activations.indexed(batch)
    stacked = finish_stacked(model, cells, indexed, activations.prefix(cells[0], indexed))
    for cell, found in zip(cells, stacked, strict=True):
        torch.testing.assert_close(found, interchange(model, cell, batch).counterfactual)
        expected = finish(model, cell, batch, prefix(model, cell, batch)).counterfactual
        own = torch.autograd.grad(found.square().sum(), list(cell.parameters()), retain_graph=True)
        alone = torch.autograd.grad(expected.square().sum(), list(cell.parameters()))
        for one, other in zip(own, alone, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "computed anew"])
def test_kept_activations_give_the_same_baselines(model, batch, keep):
    alignment = place(("P",), layer=2, position="0:6", per_position=True)
    cell = Intervention(alignment, model, Interchange(), LowRankRotation, generator_for(0, "own"), rank=2)
    activations = Activations(model, [batch], 4, torch.device("cpu"))
    activations.reach(4) if keep else activations.forget(4)
    indexed = activations.indexed(batch)
    outputs = activations.interchange(cell, indexed)
    torch.testing.assert_close(outputs.base, model(batch.base))
    (swapped,) = activations.full_swap(cell, indexed, (0, 0))
    torch.testing.assert_close(swapped, model(batch.sources[0]))  # every position: the source's own output


def test_inputs_that_repeat_are_computed_once(model, batch):
    twice = batch.rows(torch.tensor([0, 0, 1, 0, 1]))
    calls = []
    run_stage = type(model).run_stage

    class Counting(type(model)):
        def run_stage(self, stage, value, tap):
            calls.append(len(value))
            return run_stage(self, stage, value, tap)

    model.__class__ = Counting
    activations = Activations(model, [twice], 64, torch.device("cpu"))
    assert len(activations) == 4
    activations.reach(2)
    activations.reach(3)
    assert calls == [4, 4, 4]
