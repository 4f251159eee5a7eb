"""A fit that is killed in the middle of an epoch and resumed ends with the same weights, bit for bit."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.data import draw_splits
from iit_lab.training.module import InterchangeModule
from iit_lab.training.schedules import cosine

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")
TASK = HierarchicalEquality()
DATA = draw_splits(TASK, CounterfactualPolicy(n_train=300, n_val=20, n_test=20), TASK.variables, 0)
STEPS = 45  # 3 epochs of 15 batches of 20 rows


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny networks run fastest on one thread; tests/conftest.py puts the number back."""
    torch.set_num_threads(1)


class WithDropout(MLP):
    """Draws from torch's own generator, whose state must be resumed too."""

    def run_stage(self, stage, value, tap):
        return super().run_stage(stage, nn.functional.dropout(value, 0.1, self.training), tap)


def module(train_model: bool) -> InterchangeModule:
    model = WithDropout([16], TASK.input_shape, 2, generator_for(0, "network"))
    intervention = Intervention(
        place(TASK.variables, 0), model, Interchange(), LowRankRotation, generator_for(0, "subspace"), rank=4
    )
    terms = {"interchange": Term(InterchangeLoss())}
    if train_model:
        terms["behaviour"] = Term(Behaviour())
    return InterchangeModule(
        model,
        intervention,
        Objective(terms),
        partial(torch.optim.Adam, lr=0.01),
        partial(cosine, total_steps=STEPS, warmup=0.2),
        tuple(group.name for group in DATA.val),
        train_model=train_model,
    )


class Killed(Exception):
    pass


class KillAt(pl.Callback):
    """Saves at one step and raises at a later one."""

    def __init__(self, path, save: int, stop: int) -> None:
        self.path, self.save, self.stop = path, save, stop

    def on_train_batch_end(self, trainer, *arguments) -> None:
        if trainer.global_step == self.save:
            trainer.save_checkpoint(self.path)
        if trainer.global_step == self.stop:
            raise Killed


def fit(trained: InterchangeModule, callbacks=(), resume=None) -> InterchangeModule:
    batches = TrainingBatches(DATA.train, 20, seed=0, chunk=3, epochs=3)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=batches.epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        trained.train(), batches, EvaluationBatches(DATA.val, 10), ckpt_path=resume, weights_only=True
    )
    assert trainer.global_step == STEPS
    return trained


@pytest.mark.parametrize("train_model", [True, False], ids=["iit", "das"])
@pytest.mark.parametrize("save", [3, 21, 30], ids=["first epoch", "mid-epoch", "end of an epoch"])
def test_resumed_weights_are_those_of_an_uninterrupted_fit(tmp_path, train_model, save):
    torch.manual_seed(0)
    whole = fit(module(train_model)).state_dict()

    torch.manual_seed(0)
    with pytest.raises(Killed):
        fit(module(train_model), [KillAt(tmp_path / "state.ckpt", save, save + 6)])
    torch.manual_seed(1)
    resumed = fit(module(train_model), resume=tmp_path / "state.ckpt").state_dict()

    initial = module(train_model).state_dict()
    assert any(not torch.equal(whole[name], initial[name]) for name in whole)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
