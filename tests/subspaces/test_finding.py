"""Masks and boundaries find variables where they are known to be, by construction or by IIT."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel
from iit_lab.models.handcrafted_equality import HandcraftedEquality
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.objectives.sparsity import Sparsity
from iit_lab.randomness import generator_for
from iit_lab.subspaces.base import Subspace
from iit_lab.subspaces.boundless import BoundlessRotation
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.mask import SigmoidMask
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.data import Splits, draw_splits
from iit_lab.training.evaluation import evaluate
from iit_lab.training.module import InterchangeModule

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")
LEFT, RIGHT = BOTH = HierarchicalEquality().variables
BLOCKS = {LEFT: set(range(8)), RIGHT: set(range(8, 16))}
KINDS = {
    "binary": partial(SigmoidMask, hard=True),
    "sigmoid": partial(SigmoidMask, temperature=(0.01, 0.01)),
}


@dataclass(frozen=True)
class Known:
    """A network whose variables are in `BLOCKS` of a layer."""

    model: StagedModel
    layer: int
    data: Splits


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def train(module: Callable[..., InterchangeModule], data: Splits, steps: int, batch_size: int) -> None:
    batches = TrainingBatches(data.train, batch_size, seed=0, chunk=50, epochs=steps, max_steps=steps)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=batches.epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
    names = tuple(group.name for group in data.val)
    trainer.fit(
        module(scheduler=None, val_sets=names, total_steps=steps).train(),
        batches,
        EvaluationBatches(data.val, 9),
    )


def draw(task: HierarchicalEquality, **options) -> Splits:
    policy = CounterfactualPolicy(n_train=20000, n_val=10, n_test=1000, **options)
    return draw_splits(task, policy, task.variables, 0)


def by_construction(resolution: float, decimals: int) -> Known:
    task = HierarchicalEquality(low=-1.0, high=1.0, decimals=decimals)
    return Known(HandcraftedEquality(task.input_shape, 2, resolution), 0, draw(task))


@pytest.fixture(scope="module")
def trained() -> Known:
    """As conf/experiment/equality_iit.yaml, in a fifth of the steps."""
    torch.set_num_threads(1)
    task = HierarchicalEquality()
    model = MLP([16, 16, 16], task.input_shape, 2, generator_for(0, "network"))
    blocks = place(BOTH, 1, variables={LEFT: {"units": "0:8"}, RIGHT: {"units": "8:16"}})
    vanilla = Intervention(blocks, model, Interchange(), IdentitySlice, generator_for(0))
    objective = Objective({"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())})
    optimizer = partial(torch.optim.Adam, lr=5e-3)
    module = partial(InterchangeModule, model, vanilla, objective, optimizer, train_model=True)
    data = draw(task)
    train(module, data, steps=2000, batch_size=512)
    assert evaluate(model, vanilla, data.test, 8192, torch.device("cpu")).metrics["iia"] > 0.98
    return Known(model, 1, data)


@pytest.fixture(params=["by construction", "by IIT"])
def known(request) -> Known:
    return (
        by_construction(0.01, 2) if request.param == "by construction" else request.getfixturevalue("trained")
    )


def find(
    known: Known,
    kind: Callable[..., Subspace],
    variables: tuple[str, ...],
    *,
    steps: int = 600,
    price: float = 0.1,
    seed: int = 0,
) -> tuple[Intervention, dict[str, float]]:
    """The intervention after training, and what it is worth on test pairs."""
    found = Intervention(place(variables, known.layer), known.model, Interchange(), kind, generator_for(seed))
    objective = Objective({"interchange": Term(InterchangeLoss()), "sparsity": Term(Sparsity(), price)})
    groups = [group for group in known.data.train if set(group.variables) <= set(variables)]
    test = [group for group in known.data.test if set(group.variables) <= set(variables)]
    data = Splits(tuple(groups), known.data.val, tuple(test))
    optimizer = partial(torch.optim.Adam, lr=1e-2)
    module = partial(InterchangeModule, known.model, found, objective, optimizer, train_model=False)
    train(module, data, steps, batch_size=512)
    return found, evaluate(known.model, found, test, 8192, torch.device("cpu")).metrics


@pytest.mark.parametrize("variables", [(LEFT,), (RIGHT,), BOTH], ids=["left", "right", "both"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_masks_find_the_units(known, kind, variables):
    found, metrics = find(known, kind, variables)
    assert all(metrics[f"iia/{name}"] >= 0.95 for name in variables)
    for name in variables:
        units = set(found.subspaces[0].directions(name).nonzero()[:, 0].tolist())
        assert units <= BLOCKS[name]
        assert len(units) >= 5
        assert metrics[f"size/{name}"] == len(units) / 16
        if known.layer == 0:  # where every unit of the block is read
            assert units == BLOCKS[name]


@pytest.mark.parametrize(("where", "price"), [("by construction", 0.1), ("by IIT", 0.3)])
def test_boundless_das_finds_the_boundary(where, price, request):
    """By construction with a coarse grid of inputs; a fine one needs a rotation exact to a thousandth."""
    known = by_construction(1.0, 0) if where == "by construction" else request.getfixturevalue("trained")
    kind = partial(BoundlessRotation, temperature=(2.0, 0.1))
    for variables in ((LEFT,), BOTH):
        _, metrics = find(known, kind, variables, steps=1500, price=price)
        for name in variables:
            assert metrics[f"iia/{name}"] >= 0.95
            assert 1 / 16 < metrics[f"size/{name}"] <= 9 / 16


def test_a_rotated_mask_finds_a_variable(trained):
    kind = partial(SigmoidMask, rotated=True, temperature=(1.0, 0.01), until=1.0)
    _, metrics = find(trained, kind, (LEFT,))
    assert metrics[f"iia/{LEFT}"] >= 0.95
    assert metrics[f"size/{LEFT}"] <= 9 / 16
