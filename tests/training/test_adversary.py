"""The adversary: what a refit moves and what it leaves, what the network learns against it."""

import copy
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Observed, Term
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.objectives.resistance import Resistance
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.adversary import Adversary
from iit_lab.training.data import draw_splits

TASK = HierarchicalEquality()
NAMES = ("left_equality",)
POLICY = CounterfactualPolicy(256, 64, 64, train_sets=["each"], test_sets=["each"])
BATCH = draw_splits(TASK, POLICY, NAMES, 0).train[0]


def network() -> MLP:
    return MLP([16, 16], TASK.input_shape, 2, generator_for(0))


def adversary(model: MLP, **changes) -> Adversary:
    arguments = {
        "alignment": partial(place, layer=1),
        "intervention": partial(Intervention, write=Interchange(), subspace=LowRankRotation, rank=2),
        "optimizer": partial(torch.optim.Adam, lr=0.02),
        "steps": 3,
        "restart": None,
    }
    return Adversary(
        **{**arguments, **changes}, variables=NAMES, model=model, generator=generator_for(1, "adversary")
    )


def loss_of(own: Adversary, model: MLP) -> float:
    logits = interchange(model, own.intervention, BATCH).counterfactual
    return cross_entropy(logits, BATCH.counterfactual_label).item()


def test_a_refit_is_adam_on_the_interchange_loss():
    """The same steps by hand, from the same rotation."""
    model = network()
    own, twin = adversary(model), adversary(model)
    own.refit(model, BATCH)
    twin.released()
    by_hand = torch.optim.Adam(twin.intervention.parameters(), lr=0.02)
    for _ in range(3):
        by_hand.zero_grad()
        logits = interchange(model, twin.intervention, BATCH).counterfactual
        cross_entropy(logits, BATCH.counterfactual_label).backward()
        by_hand.step()
    torch.testing.assert_close(own.intervention.state_dict(), twin.intervention.state_dict())


def test_a_refit_leaves_the_network_and_its_gradients_alone():
    model = network()
    model(BATCH.base).square().sum().backward()
    before = copy.deepcopy([(p.detach(), p.grad) for p in model.parameters()])
    own = adversary(model)
    first = loss_of(own, model)
    for _ in range(20):
        own.refit(model, BATCH)
    assert loss_of(own, model) < first
    for parameter, (value, gradient) in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, value) and torch.equal(parameter.grad, gradient)
    assert not any(parameter.requires_grad for parameter in own.parameters())


def test_gradients_of_its_logits_reach_the_network_alone():
    model = network()
    own = adversary(model)
    own.logits(model, BATCH, source_grad=True).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in own.parameters())


def test_it_begins_anew():
    model = network()
    own = adversary(model, restart=2)
    initial = copy.deepcopy(own.intervention.state_dict())
    own.refit(model, BATCH)
    first = copy.deepcopy(own.intervention.state_dict())
    own.refit(model, BATCH)
    assert not torch.equal(own.intervention.state_dict()["subspaces.0.weight"], first["subspaces.0.weight"])
    own.refit(model, BATCH)
    torch.testing.assert_close(own.intervention.state_dict(), first)
    assert not torch.equal(first["subspaces.0.weight"], initial["subspaces.0.weight"])


def test_it_goes_on_from_its_state():
    model = network()
    own, later = adversary(model), adversary(model)
    own.refit(model, BATCH)
    later.load_state_dict(copy.deepcopy(own.state_dict()))
    for each in (own, later):
        each.refit(model, BATCH)
    torch.testing.assert_close(own.intervention.state_dict(), later.intervention.state_dict())


def test_resistance_by_hand():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    label = torch.tensor([0, 0])
    cross = (torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log1p(torch.exp(torch.tensor(1.0)))) / 2
    seen = Observed(None, None, label, label, adversary=logits)
    torch.testing.assert_close(Resistance(0.9)(seen), 0.9 - cross)
    assert Resistance(0.5)(seen).item() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps=0, restart=None: must be at least 1"),
        ({"restart": 0}, "steps=3, restart=0: must be at least 1"),
        ({"alignment": partial(place, layer=5)}, "alignment.layer=5"),
        (
            {"intervention": partial(Intervention, write=Interchange(), subspace=IdentitySlice, rank=2)},
            "an adversary needs a subspace that is learned",
        ),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        adversary(network(), **changes)


def test_an_objective_needs_its_adversary():
    terms = {"interchange": Term(InterchangeLoss()), "adversary": Term(Resistance())}
    with pytest.raises(ValueError, match="adversary=null: a term needs one"):
        Objective(terms)
    found = Objective(terms, adversary=lambda: None).of_frozen()
    assert list(found.terms) == ["interchange"] and not found.needs_adversary
    with pytest.raises(ValueError, match="cutoff=0: must be above 0"):
        Resistance(0)
