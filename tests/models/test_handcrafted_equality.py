"""A perfect unit test: the handcrafted network's variables are where it says, so IIA is exactly 1."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.counterfactuals import draw
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.handcrafted_equality import HandcraftedEquality
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import encode

TASK = HierarchicalEquality(low=-1.0, high=1.0, decimals=2)
MODEL = HandcraftedEquality(TASK.input_shape, 2)


@torch.no_grad()
def iia(variables, units) -> float:
    places = {name: {"units": text} for name, text in zip(TASK.variables, units, strict=True)}
    intervention = Intervention(
        place(TASK.variables, 0, variables=places), MODEL, Interchange(), IdentitySlice, generator_for(0)
    )
    batch = encode(TASK, draw(TASK.causal_model, TASK, variables, 20_000, generator_for(0, "pairs")))
    outputs = interchange(MODEL, intervention, batch, want_base=True)
    assert torch.equal(outputs.base.argmax(1), batch.base_label)
    return (outputs.counterfactual.argmax(1) == batch.counterfactual_label).double().mean().item()


@pytest.mark.parametrize("variables", [TASK.variables[:1], TASK.variables[1:], TASK.variables])
def test_iia_is_exactly_one(variables):
    assert iia(variables, ("0:8", "8:16")) == 1.0


def test_and_not_so_at_the_other_variable_s_units():
    assert iia(TASK.variables[:1], ("8:16", "0:8")) < 0.6


@pytest.mark.parametrize(("shape", "classes"), [((15,), 2), ((16,), 3), ((4, 4), 2)])
def test_what_it_was_not_made_for_is_refused(shape, classes):
    with pytest.raises(ValueError, match="needs four objects and two classes"):
        HandcraftedEquality(shape, classes)
