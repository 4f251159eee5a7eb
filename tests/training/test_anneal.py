"""Temperatures follow the optimiser's steps, however they are counted into calls, and when resumed."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.objectives.sparsity import Sparsity
from iit_lab.randomness import generator_for
from iit_lab.results import artefacts
from iit_lab.subspaces.mask import SigmoidMask
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.data import draw_splits
from iit_lab.training.evaluation import evaluate
from iit_lab.training.module import InterchangeModule

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")
TASK = HierarchicalEquality()
DATA = draw_splits(TASK, CounterfactualPolicy(n_train=300, n_val=20, n_test=20), TASK.variables, 0)
STEPS = 45  # 3 epochs of 15 batches of 20 rows


class Recorded(SigmoidMask):
    """Remembers what it was told."""

    def __init__(self, **arguments) -> None:
        super().__init__(**arguments, hard=True)
        self.told: list[float] = []

    def anneal(self, progress: float) -> None:
        super().anneal(progress)
        self.told.append(progress)


def module(kind=Recorded, **options) -> InterchangeModule:
    model = MLP([16], TASK.input_shape, 2, generator_for(0, "network"))
    intervention = Intervention(place(TASK.variables, 0), model, Interchange(), kind, generator_for(0))
    return InterchangeModule(
        model,
        intervention,
        Objective({"interchange": Term(InterchangeLoss()), "sparsity": Term(Sparsity(), 0.1)}),
        partial(torch.optim.Adam, lr=0.01),
        None,
        tuple(group.name for group in DATA.val),
        train_model=False,
        total_steps=STEPS,
        **options,
    )


class Killed(Exception):
    pass


class KillAt(pl.Callback):
    def __init__(self, path, save: int, stop: int) -> None:
        self.path, self.save, self.stop = path, save, stop

    def on_train_batch_end(self, trainer, *arguments) -> None:
        if trainer.global_step == self.save:
            trainer.save_checkpoint(self.path)
        if trainer.global_step == self.stop:
            raise Killed


class StopAfterOneEpoch(pl.Callback):
    def on_train_epoch_end(self, trainer, *arguments) -> None:
        trainer.should_stop = True


def fit(trained: InterchangeModule, chunk=3, callbacks=(), resume=None) -> InterchangeModule:
    batches = TrainingBatches(DATA.train, 20, seed=0, chunk=chunk, epochs=3)
    assert batches.total_steps == STEPS
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
    return trained


def told(trained: InterchangeModule) -> list[float]:
    return trained.intervention.subspaces[0].told


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_before_every_step_and_after_the_last(chunk):
    trained = fit(module(), chunk)
    assert told(trained) == [step / STEPS for step in range(STEPS)] + [1.0]
    assert trained.intervention.subspaces[0].temperature.item() == pytest.approx(1e-3)


def test_a_resumed_fit_goes_on_where_it_was(tmp_path):
    whole = fit(module()).state_dict()
    with pytest.raises(Killed):
        fit(module(), callbacks=[KillAt(tmp_path / "state.ckpt", 21, 27)])
    resumed = fit(module(), resume=tmp_path / "state.ckpt")
    assert told(resumed) == [step / STEPS for step in range(21, STEPS)] + [1.0]
    assert all(torch.equal(value, whole[name]) for name, value in resumed.state_dict().items())


def test_a_fit_that_stops_early_ends_with_the_last_temperature():
    trained = fit(module(), callbacks=[StopAfterOneEpoch()])
    assert told(trained)[-2:] == [14 / STEPS, 1.0]


def test_nothing_is_asked_of_an_intervention_that_stays_the_same(monkeypatch):
    calls = []
    monkeypatch.setattr(LowRankRotation, "anneal", lambda self, progress: calls.append(progress))
    fit(module(partial(LowRankRotation)))
    assert calls == []


def test_a_saved_alignment_has_the_last_temperature(tmp_path):
    trained, fresh = fit(module()).intervention, module().intervention
    artefacts.save(tmp_path, "alignment", trained, {})
    artefacts.load(tmp_path, "alignment", fresh)
    assert fresh.subspaces[0].temperature.item() == pytest.approx(1e-3)
    model = module().model
    reports = [evaluate(model, each, DATA.test, 100, torch.device("cpu")) for each in (trained, fresh)]
    assert reports[0].metrics == reports[1].metrics


def test_masks_are_hard_in_validation_and_soft_in_training():
    modes = []

    class Watched(SigmoidMask):
        def masks(self):
            found = super().masks()
            modes.append((self.training, bool(((found == 0) | (found == 1)).all())))
            return found

    fit(module(partial(Watched, hard=True, temperature=(1.0, 1.0))))
    assert set(modes) == {(True, False), (False, True)}


def test_evaluation_uses_hard_masks_and_leaves_the_mode_as_it_was():
    trained = module().train()
    intervention = trained.intervention
    with torch.no_grad():
        intervention.subspaces[0].logits[0, :4] = 0.1
    soft = intervention.size().item()
    metrics = evaluate(trained.model, intervention, DATA.test, 100, torch.device("cpu")).metrics
    assert intervention.training and intervention.subspaces[0].training
    assert (metrics["size/left_equality"], metrics["size/right_equality"]) == (0.25, 0.0)
    assert soft > 0.3
    assert intervention.eval().size().item() == pytest.approx(0.125)


def test_the_size_s_price_reaches_the_masks():
    trained = module(partial(SigmoidMask, temperature=(1.0, 1.0)))
    trained.objective = Objective({"sparsity": Term(Sparsity())})
    trained.losses(DATA.train[0])["loss"].backward()
    assert (trained.intervention.subspaces[0].logits.grad > 0).all()


def test_a_size_without_an_intervention_is_refused():
    model = MLP([16], TASK.input_shape, 2, generator_for(0, "network"))
    objective = Objective({"behaviour": Term(Behaviour()), "sparsity": Term(Sparsity())})
    with pytest.raises(ValueError, match="objective: a size is that of an intervention's subspaces"):
        InterchangeModule(model, None, objective, torch.optim.Adam, None, (), train_model=True)
