"""Frozen stays frozen, chunks change nothing, and a hand-written loop gives the same weights."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.zero import Zero
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.data import draw_splits
from iit_lab.training.module import InterchangeModule
from iit_lab.training.schedules import linear

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")
TASK = HierarchicalEquality()
DATA = draw_splits(TASK, CounterfactualPolicy(n_train=300, n_val=20, n_test=20), TASK.variables, 0)
IIT = Objective({"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())})
DAS = Objective({"interchange": Term(InterchangeLoss())}, source_grad=False)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny networks run fastest on one thread; tests/conftest.py puts the number back."""
    torch.set_num_threads(1)


class WithDropout(MLP):
    """Would give another answer each time if it were in training mode."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.dropout = nn.Dropout(0.5)

    def run_stage(self, stage, value, tap):
        return super().run_stage(stage, self.dropout(value), tap)


def network(kind=MLP) -> MLP:
    return kind([16, 16], TASK.input_shape, 2, generator_for(0, "network"))


def module(
    objective=IIT, train_model=True, kind=MLP, subspace=IdentitySlice, scheduler=None
) -> InterchangeModule:
    model = network(kind)
    intervention = Intervention(
        place(TASK.variables, 0), model, Interchange(), subspace, generator_for(0, "subspace"), rank=4
    )
    names = tuple(group.name for group in DATA.val)
    return InterchangeModule(
        model,
        intervention,
        objective,
        lambda parameters: torch.optim.Adam(parameters, lr=0.01),
        scheduler,
        names,
        train_model=train_model,
        log_every=3,
    )


def das(**options) -> InterchangeModule:
    return module(DAS, train_model=False, subspace=LowRankRotation, **options)


def batches(chunk=4, epochs=2) -> TrainingBatches:
    return TrainingBatches(DATA.train, 20, seed=0, chunk=chunk, epochs=epochs)


def fit(trained: InterchangeModule, data: TrainingBatches | None = None, **options) -> pl.Trainer:
    data = data or batches()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=data.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(trained.train(), data, EvaluationBatches(DATA.val, 10))
    return trainer


def same(first: nn.Module, second: nn.Module, **close) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, **close) if close else torch.equal(a, b) for a, b in pairs)


def test_a_frozen_network_stays_in_eval_mode_and_as_it_was():
    trained = das(kind=WithDropout)
    before = copy.deepcopy(trained.model)
    subspaces = copy.deepcopy(trained.intervention)
    modes = []
    trained.model.dropout.register_forward_hook(lambda layer, *_: modes.append(layer.training))
    fit(trained)
    assert modes
    assert not any(modes)
    assert same(trained.model, before)
    assert not same(trained.intervention, subspaces)


def test_a_network_in_training_is_in_training_mode():
    trained = module(kind=WithDropout)
    modes = []
    trained.model.dropout.register_forward_hook(
        lambda layer, *_: modes.append((torch.is_grad_enabled(), layer.training))
    )
    fit(trained)
    assert {training for grad, training in modes if grad} == {True}
    assert {training for grad, training in modes if not grad} == {False}


@pytest.mark.parametrize("build", [module, das])
def test_steps_in_chunks_are_the_same_steps(build):
    one, seven = build(), build()
    fit(one, batches(chunk=1))
    fit(seven, batches(chunk=7))
    assert same(one, seven)


@pytest.mark.parametrize("build", [module, das])
def test_a_hand_written_loop_gives_the_same_weights(build):
    ours, theirs = build(scheduler=lambda o: linear(o, 30)), build()
    trainer = fit(ours)
    assert trainer.global_step == 30

    optimizer = torch.optim.Adam([p for p in theirs.parameters() if p.requires_grad], lr=0.01)
    data, step = batches(chunk=1), 0
    for _ in range(2):
        for (batch,) in data:
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (30 - step) / 30
            optimizer.zero_grad()
            theirs.losses(batch)["loss"].backward()
            optimizer.step()
            step += 1
    assert same(ours, theirs, atol=1e-6)


def test_iit_learns_what_behaviour_alone_does_not():
    """The interchange term is felt: trained with it, its loss is lower than trained without."""
    with_it = module()
    without = module(Objective({"behaviour": Term(Behaviour())}))
    for trained in (with_it, without):
        fit(trained, batches(epochs=20))
    batch = DATA.train[0]
    with torch.no_grad():
        with_it.objective = without.objective = DAS
        assert with_it.losses(batch)["loss"] < without.losses(batch)["loss"]


def test_the_checkpoint_leaves_a_frozen_network_out(tmp_path):
    for trained, has_network in ((das(), False), (module(), True)):
        fit(trained).save_checkpoint(tmp_path / "state.ckpt")
        state = torch.load(tmp_path / "state.ckpt", weights_only=True)["state_dict"]
        assert any(name.startswith("model.") for name in state) is has_network


def test_gradient_clipping_bounds_the_step():
    clipped = module()
    clipped.gradient_clip = 1e-12
    clipped._build_optimizer = lambda parameters: torch.optim.SGD(parameters, lr=1.0)
    before = copy.deepcopy(clipped.model)
    fit(clipped)
    assert same(clipped.model, before, atol=1e-9)


def test_clipped_steps_are_those_of_torch_s_clipping_by_norm():
    ours, theirs = module(), module()
    ours.gradient_clip = 0.05
    ours._build_optimizer = lambda parameters: torch.optim.SGD(parameters, lr=1.0)
    fit(ours)
    optimizer = torch.optim.SGD(theirs.model.parameters(), lr=1.0)
    data = batches(chunk=1)
    for _ in range(2):
        for (batch,) in data:
            optimizer.zero_grad()
            theirs.losses(batch)["loss"].backward()
            nn.utils.clip_grad_norm_(theirs.model.parameters(), 0.05)
            optimizer.step()
    assert same(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("source_grad", [True, False])
def test_the_objective_says_whether_sources_send_gradients(source_grad):
    """A site swapped whole in the first layer: without the sources' share, its weights get no gradient."""
    model = network()
    whole = Intervention(
        place(TASK.variables, 0, variables=TASK.variables[:1]),
        model,
        Interchange(),
        IdentitySlice,
        generator_for(0),
    )
    objective = Objective({"interchange": Term(InterchangeLoss())}, source_grad=source_grad)
    trained = InterchangeModule(model, whole, objective, torch.optim.Adam, None, (), train_model=True)
    trained.losses(DATA.train[0])["loss"].backward()
    grad = model.layers[0].weight.grad
    assert (grad is not None and bool(grad.any())) is source_grad
    assert model.layers[1].weight.grad.any()


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing is trainable"):
        module(DAS, train_model=False)


def test_a_counterfactual_loss_needs_an_interchange():
    model = network()
    ablation = Intervention(place(TASK.variables, 0), model, Zero(), IdentitySlice, generator_for(0), rank=4)
    with pytest.raises(ValueError, match="a counterfactual loss needs an interchange"):
        InterchangeModule(model, ablation, IIT, torch.optim.Adam, None, (), train_model=True)
