"""Gradients of an intervened run against autograd on a plain network, sources detached or not."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation, Rotation

N, LAYER, RANK = 9, 1, 3
VARIABLES = ("left", "right")
LABELS = torch.randint(3, (N,), generator=generator_for(0, "labels"))
BASE, *SOURCES = torch.randn(3, N, 4, generator=generator_for(0, "inputs"), dtype=torch.double)


@pytest.fixture
def model() -> MLP:
    return MLP([6, 8, 5], (4,), 3, generator_for(0, "network")).double()


def build(model, subspace=LowRankRotation, component="block_output") -> Intervention:
    alignment = place(VARIABLES, LAYER, component)
    return Intervention(alignment, model, Interchange(), subspace, generator_for(1), rank=RANK).double()


def loss_of(model, intervention, source_grad=True):
    batch = InterchangeBatch(BASE, torch.stack(SOURCES), VARIABLES, None, LABELS, LABELS)
    outputs = interchange(model, intervention, batch, want_base=True, source_grad=source_grad)
    return torch.nn.functional.cross_entropy(outputs.base + 2 * outputs.counterfactual, LABELS)


def plain_loss(layers, component, projectors, detached):
    """Three whole runs of a plain chain of layers."""

    def upto(inputs):
        first = layers[1](layers[0](inputs).relu())
        return first.relu() if component == "block_output" else first

    def after(value):
        value = value if component == "block_output" else value.relu()
        return layers[3](layers[2](value).relu())

    base = upto(BASE)
    swapped = base
    for source, projector in zip(SOURCES, projectors, strict=True):
        there = upto(source).detach() if detached else upto(source)
        swapped = swapped + (there - base) @ projector
    return torch.nn.functional.cross_entropy(after(base) + 2 * after(swapped), LABELS)


def plain(model) -> list[torch.nn.Linear]:
    """The same weights in layers of torch's own."""
    layers = []
    for layer in model.layers:
        twin = torch.nn.Linear(layer.in_features, layer.out_features, dtype=torch.double)
        twin.load_state_dict(layer.state_dict())
        layers.append(twin)
    return layers


@pytest.mark.parametrize("component", ["block_output", "pre_activation"])
@pytest.mark.parametrize("source_grad", [True, False])
def test_every_weight_of_the_network(model, component, source_grad):
    intervention = build(model, component=component)
    loss_of(model, intervention, source_grad).backward()

    basis = intervention.subspaces[0].basis().detach()
    projectors = [basis[:, :RANK] @ basis[:, :RANK].T, basis[:, RANK:] @ basis[:, RANK:].T]
    layers = plain(model)
    plain_loss(layers, component, projectors, detached=not source_grad).backward()

    for ours, theirs in zip(model.layers, layers, strict=True):
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
        torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def test_without_source_gradient_the_gradient_is_another(model):
    """Otherwise the test above could not tell the two apart."""
    grads = []
    for source_grad in (True, False):
        model.zero_grad()
        loss_of(model, build(model), source_grad).backward()
        grads.append(model.layers[0].weight.grad.clone())
    assert (grads[0] - grads[1]).abs().max() > 1e-3


@pytest.mark.parametrize("subspace", [LowRankRotation, Rotation])
@pytest.mark.parametrize("source_grad", [True, False])
def test_the_subspace_s_weight_whether_or_not_sources_have_gradients(model, subspace, source_grad):
    """Finite differences of the whole loss along random directions of the weight."""
    intervention = build(model.requires_grad_(False), subspace)
    loss_of(model, intervention, source_grad).backward()
    weight = intervention.subspaces[0].weight
    grad = weight.grad.clone()
    for seed in range(3):
        direction = torch.randn(weight.shape, generator=generator_for(seed), dtype=torch.double)
        at = []
        for step in (1e-5, -1e-5):
            moved = build(model, subspace)
            with torch.no_grad():
                moved.subspaces[0].weight.copy_(weight + step * direction)
                at.append(loss_of(model, moved).item())
        assert (grad * direction).sum().item() == pytest.approx((at[0] - at[1]) / 2e-5, abs=1e-7)
    assert grad.abs().max() > 1e-3


def test_a_frozen_alignment_gets_none(model):
    alignment = place(VARIABLES, LAYER, trainable=False)
    frozen = Intervention(alignment, model, Interchange(), LowRankRotation, generator_for(1), rank=2).double()
    loss_of(model, frozen).backward()
    assert frozen.subspaces[0].weight.grad is None
    assert model.layers[0].weight.grad.abs().max() > 0


def test_units_that_are_taken_from_the_source_send_no_gradient_to_the_base(model):
    """Only the source's run reaches the weights before a site that is swapped whole."""
    whole = Intervention(
        place(("left",), LAYER), model, Interchange(), IdentitySlice, generator_for(1)
    ).double()
    base = BASE.clone().requires_grad_()
    batch = InterchangeBatch(base, SOURCES[0][None], ("left",), None, LABELS, LABELS)
    interchange(model, whole, batch, source_grad=False).counterfactual.sum().backward()
    assert base.grad is None or not base.grad.any()
    assert model.layers[0].weight.grad is None or not model.layers[0].weight.grad.any()
    assert model.layers[3].weight.grad.any()
