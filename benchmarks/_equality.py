"""The problem that the training benchmarks share: hierarchical equality on a 16-16-16 perceptron.

Data, network, alignment, intervention and objective are built from the classes that the configs name. The
network is untrained: what its weights are makes no difference to how long a step takes.
"""

from collections.abc import Sequence
from functools import partial

import torch

from iit_lab.alignment.alignment import Alignment, place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import Rotation
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import Splits, draw_splits
from iit_lab.training.module import InterchangeModule

LEARNING_RATE = 1e-3
SLOTS = {"left_equality": slice(0, 8), "right_equality": slice(8, 16)}
"""Each variable's dimensions, rotated or not."""


def task() -> HierarchicalEquality:
    """With the objects of pyvene's tutorial."""
    return HierarchicalEquality(low=-1.0, high=1.0, decimals=2)


def splits(n_train: int, train_sets: Sequence[str] = ("each", "joint")) -> Splits:
    """`n_train` pairs shared by the training sets; validation as `conf/counterfactual/default.yaml`."""
    policy = CounterfactualPolicy(n_train=n_train, n_val=1000, n_test=1, train_sets=train_sets)
    return draw_splits(task(), policy, task().variables, seed=0)


def three_kinds(batch_size: int) -> tuple[InterchangeBatch, ...]:
    """A batch for the left variable, one for the right, one for both with a source each."""
    return splits(3 * batch_size).train


def network() -> MLP:
    """Always the same weights."""
    return MLP([16, 16, 16], task().input_shape, task().n_classes, generator_for(0, "model"))


def das(model: MLP) -> InterchangeModule:
    """A rotation of layer 0 with eight dimensions per variable; the network is frozen."""
    everywhere = place(task().variables, layer=0)
    rotated = Intervention(
        everywhere, model, Interchange(), Rotation, generator_for(0, "intervention"), rank=8
    )
    objective = Objective({"interchange": Term(InterchangeLoss())}, source_grad=False)
    return _module(model, rotated, objective, train_model=False).train()


def iit(model: MLP) -> InterchangeModule:
    """Each variable in one half of layer 1, as units; the network is trained on both losses."""
    halves: Alignment = place(
        task().variables,
        layer=1,
        variables={"left_equality": {"units": "0:8"}, "right_equality": {"units": "8:16"}},
    )
    vanilla = Intervention(halves, model, Interchange(), IdentitySlice, generator_for(0, "intervention"))
    terms = {"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())}
    return _module(model, vanilla, Objective(terms), train_model=True).train()


def _module(
    model: MLP, intervention: Intervention, objective: Objective, *, train_model: bool
) -> InterchangeModule:
    names = tuple("+".join(names) for names in (("left_equality",), ("right_equality",), task().variables))
    adam = partial(torch.optim.Adam, lr=LEARNING_RATE)
    return InterchangeModule(model, intervention, objective, adam, None, names, train_model=train_model)
