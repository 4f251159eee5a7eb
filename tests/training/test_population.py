"""Networks trained together are those trained alone, whatever their layers, sets, seeds, units and bases."""

import copy
from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.zero import Zero
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.sites import Site
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.batches import TrainingBatches
from iit_lab.training.data import draw_splits
from iit_lab.training.members import Member
from iit_lab.training.module import InterchangeModule
from iit_lab.training.population import PopulationModule, Streams
from iit_lab.training.schedules import linear

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")
TASK = HierarchicalEquality()
LEFT, RIGHT = TASK.variables
IIT = Objective({"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())})
STEPS = 200
SETS = ([[LEFT]], [[RIGHT]], ["joint"], ["each", "joint"])
MIXED = 4


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.003)


def site(layer, units=None, component="block_output"):
    return (Site(layer, component, units=None if units is None else tuple(units)),)


PLACES = {
    "blocks": ({LEFT: site(1, range(3)), RIGHT: site(1, range(4, 14))}, IdentitySlice, None),
    "scattered": ({LEFT: site(0, (1, 5, 9)), RIGHT: site(0, (0, 15, 8, 2))}, IdentitySlice, None),
    "two layers": ({LEFT: site(2, range(8)), RIGHT: site(0, range(8, 16))}, IdentitySlice, None),
    "several": ({LEFT: site(0, range(4)) + site(1, range(4)), RIGHT: site(1, (8, 9))}, IdentitySlice, None),
    "rotated": ({LEFT: site(1), RIGHT: site(1)}, LowRankRotation, 6),
    "inside": ({LEFT: site(1, range(8), "pre_activation"), RIGHT: site(1, range(8))}, IdentitySlice, None),
}  # fmt: skip


def member(kind: str, stream: int, seed: int, dtype=torch.float64) -> Member:
    model = MLP([16, 16, 16], TASK.input_shape, 2, generator_for(seed, "network"))
    sites, subspace, rank = PLACES[kind]
    alignment = Alignment(sites, trainable=False)
    made = Intervention(alignment, model, Interchange(), subspace, generator_for(seed, "subspace"), rank=rank)
    return Member(model.to(dtype), made.to(dtype), stream)


def streams(dtype=torch.float64, chunk=7, steps=STEPS) -> Streams:
    """A stream for each training set, and one of batches that mix sets row by row."""
    made = []
    for i in range(MIXED + 1):
        sets = SETS[min(i, MIXED - 1)]
        policy = CounterfactualPolicy(n_train=600, n_val=20, n_test=20, train_sets=sets, mixed=i == MIXED)
        groups = [to(group, dtype) for group in draw_splits(TASK, policy, TASK.variables, 0).train]
        made.append(TrainingBatches(groups, 50, 0, chunk, 1000, steps))
    return Streams(made)


def to(group, dtype):
    from dataclasses import replace

    return replace(group, base=group.base.to(dtype), sources=group.sources.to(dtype))


MEMBERS = [
    ("blocks", 0, 0),
    ("blocks", 1, 1),
    ("blocks", 2, 2),
    ("scattered", 2, 3),
    ("two layers", 2, 4),
    ("several", 3, 5),
    ("rotated", 2, 6),
    ("rotated", MIXED, 7),
    ("inside", 2, 8),
]


def trained_alone(one: Member, stream: TrainingBatches, *, source_grad=True, clip=None) -> list[float]:
    """With the engine that trains single networks, in a plain loop."""
    objective = Objective(IIT.terms, source_grad=source_grad)
    module = InterchangeModule(one.model, one.intervention, objective, adam, None, (), train_model=True)
    optimizer, losses = adam(one.model.parameters()), []
    while stream.step < stream.total_steps:
        for chunk in stream:
            for batch in chunk:
                loss = module.losses(batch)["loss"]
                loss.backward()
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(one.model.parameters(), clip)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(float(loss.detach()))
    return losses


def trained_together(members, together: Streams, *, source_grad=True, clip=None) -> torch.Tensor:
    module = PopulationModule(members, Objective(IIT.terms, source_grad=source_grad), adam)
    optimizer, losses = adam(list(module.stacked)), []
    while together.streams[0].step < together.total_steps:
        for chunk in together:
            for step in chunk:
                values = module.losses(step)["loss"]
                values.sum().backward()
                if clip is not None:
                    module._clip(clip)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(values.detach())
    module.hand_back()
    return torch.stack(losses, 1)


@pytest.mark.parametrize(("source_grad", "clip"), [(True, None), (False, 0.5)])
def test_together_is_alone_in_double_precision(source_grad, clip):
    members = [member(*each) for each in MEMBERS]
    alone = [copy.deepcopy(each) for each in members]
    losses = trained_together(members, streams(), source_grad=source_grad, clip=clip)
    for i, one in enumerate(alone):
        own = trained_alone(one, streams().streams[one.stream], source_grad=source_grad, clip=clip)
        torch.testing.assert_close(losses[i], torch.tensor(own, dtype=torch.float64), rtol=0, atol=1e-9)
        for mine, theirs in zip(members[i].model.parameters(), one.model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-7)


def test_together_is_alone_in_single_precision():
    members = [member(*each, torch.float32) for each in MEMBERS]
    alone = [copy.deepcopy(each) for each in members]
    losses = trained_together(members, streams(torch.float32))
    for i, one in enumerate(alone):
        own = trained_alone(one, streams(torch.float32).streams[one.stream])
        torch.testing.assert_close(losses[i], torch.tensor(own), rtol=0, atol=1e-5)


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


def fit(callbacks=(), resume=None) -> PopulationModule:
    together = streams(torch.float32, chunk=3, steps=60)
    members = [member(*each, torch.float32) for each in MEMBERS]
    scheduler = partial(linear, total_steps=together.total_steps)
    module = PopulationModule(members, IIT, adam, scheduler, gradient_clip=1.0, log_every=7)
    trainer = pl.Trainer(
        max_epochs=together.epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, together, ckpt_path=resume, weights_only=True)
    return module


@pytest.mark.parametrize("save", [6, 24], ids=["first epoch", "mid-epoch"])
def test_resumed_weights_are_those_of_an_uninterrupted_fit(tmp_path, save):
    whole = fit()
    with pytest.raises(Killed):
        fit([KillAt(tmp_path / "state.ckpt", save, save + 6)])
    resumed = fit(resume=tmp_path / "state.ckpt")
    for mine, theirs in zip(resumed.stacked, whole.stacked, strict=True):
        assert torch.equal(mine, theirs)
    last = resumed.members[-1].model.state_dict()
    assert all(
        torch.equal(last[name], value[-1]) for name, value in zip(whole.names, whole.stacked, strict=True)
    )


def test_seeds_of_a_network_without_interventions():
    """Replicates of behaviour training."""
    policy = CounterfactualPolicy(n_train=500, n_val=20, n_test=20, train_sets=[], test_sets=[])
    data = draw_splits(TASK, policy, TASK.variables, 0).train
    objective = Objective({"behaviour": Term(Behaviour())})
    members = [
        Member(MLP([16], TASK.input_shape, 2, generator_for(seed, "network")), None) for seed in range(3)
    ]
    module = PopulationModule(members, objective, adam)
    losses = module.losses([data[0]])["loss"]
    for one, loss in zip(members, losses, strict=True):
        expected = torch.nn.functional.cross_entropy(one.model(data[0].base), data[0].base_label)
        torch.testing.assert_close(loss, expected)


def test_what_cannot_be_stacked_is_refused():
    small = MLP([8], TASK.input_shape, 2, generator_for(0, "network"))
    with pytest.raises(ValueError, match="different shapes"):
        PopulationModule([member("blocks", 0, 0), Member(small, None)], IIT, adam)
    one = member("blocks", 0, 0)
    sites = Alignment(PLACES["rotated"][0])
    learned = Intervention(sites, one.model, Interchange(), LowRankRotation, generator_for(0, "x"), rank=2)
    ablation = Intervention(sites, one.model, Zero(), LowRankRotation, generator_for(0, "x"), rank=2)
    for wrong in (learned, ablation):
        with pytest.raises(ValueError, match="interchanges in fixed subspaces"):
            PopulationModule([Member(one.model, wrong)], IIT, adam)
    with pytest.raises(ValueError, match="they differ in steps"):
        Streams([streams(steps=20).streams[0], streams(steps=30).streams[0]])
