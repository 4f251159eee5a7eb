"""Several sources in slices of one rotation, on a CNN: each touches its own subspace and nothing else."""

from dataclasses import replace

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.engine import interchange, prefix
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import Point
from iit_lab.models.cnn import CNN
from iit_lab.randomness import generator_for
from iit_lab.sites import Site
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.shapes import Shapes
from iit_lab.training.data import draw_splits

TASK = Shapes(variables=["circularity", "colour"])
SITE = Site(0, "pre_activation")
RANK = 3


@pytest.fixture(scope="module")
def model() -> CNN:
    return CNN([4, 8], [0, 1], 3, [3], True, True, 0.01, TASK.input_shape, 2, generator_for(0))


@pytest.fixture(scope="module")
def intervention(model) -> Intervention:
    where = place(TASK.variables, 0, "pre_activation")
    return Intervention(where, model, Interchange(), LowRankRotation, generator_for(1), RANK)


@pytest.fixture(scope="module")
def batch() -> InterchangeBatch:
    policy = CounterfactualPolicy(16, 2, 2, train_sets=["joint"])
    return draw_splits(TASK, policy, TASK.variables, 0).train[0]


def written(model: CNN, intervention: Intervention, batch: InterchangeBatch) -> torch.Tensor:
    """The site's activation with the intervention in place."""
    seen = prefix(model, intervention, batch)
    entry = model.point(0, "pre_activation")
    edit = intervention.edits(model, batch, seen.sources)[entry]
    return model.read(edit(seen.base), SITE)


@torch.no_grad()
def test_each_source_touches_its_own_subspace_only(model, intervention, batch):
    after = written(model, intervention, batch)
    base, first, second = (
        model.collect(part, [SITE])[SITE] for part in (batch.base, batch.sources[0], batch.sources[1])
    )
    whole = torch.linalg.qr(intervention.subspaces[0].weight, mode="complete").Q
    slots = {"first": slice(0, RANK), "second": slice(RANK, 2 * RANK), "rest": slice(2 * RANK, None)}
    for name, expected in (("first", first), ("second", second), ("rest", base)):
        columns = whole[:, slots[name]]
        torch.testing.assert_close(after @ columns, expected @ columns, atol=1e-4, rtol=0)
    assert not torch.allclose(after @ whole[:, :RANK], second @ whole[:, :RANK], atol=1e-3)


@torch.no_grad()
def test_one_source_changed_changes_its_own_subspace_only(model, intervention, batch):
    other = replace(batch, sources=torch.stack([batch.sources[0], batch.sources[1].roll(1, 0)]))
    change = written(model, intervention, other) - written(model, intervention, batch)
    basis = torch.linalg.qr(intervention.subspaces[0].weight).Q
    columns = basis[:, RANK : 2 * RANK]
    torch.testing.assert_close(change, change @ columns @ columns.T, atol=1e-4, rtol=0)
    assert change.norm() > 0.1


@torch.no_grad()
def test_not_the_second_source_s_output(model, intervention, batch):
    """Whole tensors swapped one after the other would give exactly that (a defect of the original)."""
    logits = interchange(model, intervention, batch).counterfactual
    for source in batch.sources:
        assert not torch.allclose(logits, model(source), atol=1e-3)
    swapped = replace(batch, sources=batch.sources.flip(0))
    assert not torch.allclose(logits, interchange(model, intervention, swapped).counterfactual, atol=1e-4)


def test_gradients_reach_each_source_through_its_own_columns(model, intervention, batch):
    """d swap / d source is the projection on the source's slice."""
    point = Point(1)
    images = [part.float() / 100 for part in (batch.base, *batch.sources)]
    activations = [model.run(image, stop=1).detach().requires_grad_() for image in images]
    sources = {(i, SITE): model.read(activation, SITE) for i, activation in enumerate(activations[1:])}
    edit = intervention.edits(model, batch, sources)[point]
    direction = torch.randn(len(batch), model.width(SITE), generator=generator_for(5))
    (model.read(edit(activations[0]), SITE) * direction).sum().backward()
    basis = torch.linalg.qr(intervention.subspaces[0].weight.detach()).Q
    for i in range(2):
        columns = basis[:, i * RANK : (i + 1) * RANK]
        found = activations[1 + i].grad.flatten(1)
        torch.testing.assert_close(found, direction @ columns @ columns.T, atol=1e-4, rtol=0)
    rest = direction - direction @ basis @ basis.T
    torch.testing.assert_close(activations[0].grad.flatten(1), rest, atol=1e-4, rtol=0)


def test_no_source(model, intervention, batch):
    with pytest.raises(ValueError, match="sources: 0 for circularity\\+colour; an interchange needs one"):
        interchange(model, intervention, replace(batch, sources=batch.sources[:0]))
