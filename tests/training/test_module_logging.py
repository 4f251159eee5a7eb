"""What the module logs, against plain loops: losses averaged over steps, accuracy and IIA of validation."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.data import draw_splits
from iit_lab.training.module import InterchangeModule

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")
TASK = HierarchicalEquality()
POLICY = CounterfactualPolicy(n_train=300, n_val=31, n_test=1)
DATA = draw_splits(TASK, POLICY, TASK.variables, 0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny networks run fastest on one thread; tests/conftest.py puts the number back."""
    torch.set_num_threads(1)


class Memory(Logger):
    name, version = "memory", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log_metrics(self, metrics, step=None) -> None:
        self.rows.append((step, metrics))

    def log_hyperparams(self, params, *arguments, **options) -> None:
        pass

    def of(self, name: str) -> list[tuple[int, float]]:
        return [(step, metrics[name]) for step, metrics in self.rows if name in metrics]


def network() -> MLP:
    return MLP([16], TASK.input_shape, 2, generator_for(0, "network"))


def fit(chunk=1, intervened=True, lr=0.0, epochs=1):
    """With a rate of 0 every loss is a function of its batch."""
    model, intervention, terms = network(), None, {"behaviour": Term(Behaviour(), 0.5)}
    if intervened:
        intervention = Intervention(
            place(TASK.variables, 0), model, Interchange(), IdentitySlice, generator_for(0), rank=8
        )
        terms["interchange"] = Term(InterchangeLoss(), 2.0)
    trained = InterchangeModule(
        model,
        intervention,
        Objective(terms),
        lambda parameters: torch.optim.SGD(parameters, lr=lr),
        None,
        tuple(group.name for group in DATA.val) if intervened else ("",),
        train_model=True,
        log_every=4,
    )
    memory = Memory()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=[memory],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    data = DATA if intervened else draw_splits(TASK, BEHAVIOUR, TASK.variables, 0)
    batches = TrainingBatches(data.train, 20, seed=0, chunk=chunk, epochs=epochs)
    trainer.fit(trained, batches, EvaluationBatches(data.val, 10))
    return memory, trainer, model


BEHAVIOUR = CounterfactualPolicy(n_train=300, n_val=31, n_test=1, train_sets=(), test_sets=())


def predictions(batch, model) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes with and without the swap of units 0:8 and 8:16, on plain torch."""
    first, last = model.layers
    hidden = (batch.base @ first.weight.T + first.bias).relu()
    swapped = hidden.clone()
    for variable, source in zip(batch.variables, batch.sources, strict=True):
        units = slice(0, 8) if variable == TASK.variables[0] else slice(8, 16)
        swapped[:, units] = (source @ first.weight.T + first.bias).relu()[:, units]
    return tuple(value @ last.weight.T + last.bias for value in (hidden, swapped))


@pytest.mark.parametrize("chunk", [1, 7])
@torch.no_grad()
def test_training_losses_are_means_over_the_steps_since_the_last_line(chunk):
    memory, _, model = fit(chunk)
    losses = []
    for (batch,) in TrainingBatches(DATA.train, 20, seed=0, chunk=1, epochs=1):
        plain, swapped = predictions(batch, model)
        first = torch.nn.functional.cross_entropy(plain, batch.base_label).item()
        second = torch.nn.functional.cross_entropy(swapped, batch.counterfactual_label).item()
        losses.append((first, second, 0.5 * first + 2 * second))
    assert len(losses) == 15
    for column, name in enumerate(("train/behaviour", "train/interchange", "train/loss")):
        means = [
            sum(part[column] for part in losses[i : i + 4]) / len(losses[i : i + 4]) for i in (0, 4, 8, 12)
        ]
        assert [step for step, _ in memory.of(name)] == [4, 8, 12, 15]
        assert [value for _, value in memory.of(name)] == pytest.approx(means, abs=1e-6)


@pytest.mark.parametrize(("epochs", "lr"), [(1, 0.0), (2, 0.5)])
@torch.no_grad()
def test_validation_counts_every_row_of_every_set_once(epochs, lr):
    memory, trainer, model = fit(epochs=epochs, lr=lr)
    iia, right, rows = [], 0, 0
    for group in DATA.val:
        plain, swapped = (logits.argmax(1) for logits in predictions(group, model))
        iia.append(sum(map(bool, swapped == group.counterfactual_label)) / 31)
        right, rows = right + sum(map(bool, plain == group.base_label)), rows + 31
        assert memory.of(f"val/iia/{group.name}")[-1] == (15 * epochs, pytest.approx(iia[-1]))
    assert memory.of("val/iia")[-1] == (15 * epochs, pytest.approx(sum(iia) / 3))
    assert memory.of("val/accuracy")[-1] == (15 * epochs, pytest.approx(right / rows))
    assert len({value for _, value in memory.of("val/iia")}) == epochs  # or nothing would be told apart
    assert trainer.callback_metrics["val/iia"].item() == pytest.approx(sum(iia) / 3)


def test_behaviour_alone_has_an_accuracy_and_no_iia():
    memory, trainer, _ = fit(intervened=False)
    assert memory.of("val/accuracy")
    assert set(trainer.callback_metrics) == {"train/behaviour", "train/loss", "val/accuracy"}
