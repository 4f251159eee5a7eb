"""What the framework costs around a step: a whole run through Lightning against a hand-written loop.

IIT on the hierarchical-equality perceptron (units of layer 1, both losses) at batch 1024. Our side is what
`iit-lab job=train` does once it has its data: `InterchangeModule`, `TrainingBatches` with 50 steps per
call, the trainer and callbacks of the jobs, a CSV logger, validation after each epoch. The loop by hand
takes the same rows in the same order through the hand-written step of `_iit.py`, writes the mean losses to
a CSV file as often, and measures accuracy and IIA on the same validation data as often. Both begin with the
same weights and must end with the same ones. Building the network, the trainer and the logger is timed too.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from _compare import Comparisons
from _equality import iit, network, splits
from _iit import HandWritten
from omegaconf import OmegaConf
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.config import conf_dir
from iit_lab.jobs.lightning import make_trainer
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.callbacks import Checkpoint, progress
from iit_lab.training.data import Splits
from iit_lab.training.loggers import RunInfo, csv

BATCH, STEPS_PER_EPOCH, EVERY = 1024, 100, 50


def through_lightning(data: Splits, epochs: int, folder: Path) -> list[Tensor]:
    """The whole run as the jobs do it; returns the trained weights."""
    directory = Path(tempfile.mkdtemp(dir=folder))
    info = RunInfo(
        directory, job="train", group="benchmark", tags=(), identity="benchmark", config={}, overrides={}
    )
    hardware = OmegaConf.load(conf_dir() / "hardware" / "cpu.yaml")
    callbacks = [progress(), Checkpoint(directory)]
    trainer = make_trainer(hardware, epochs, loggers=[csv(info)], callbacks=callbacks)
    module = iit(network())
    batches = TrainingBatches(data.train, BATCH, seed=0, chunk=50, epochs=epochs)
    trainer.fit(module, batches, EvaluationBatches(data.val, 8192))
    return [parameter.detach() for parameter in module.model.parameters()]


def by_hand(data: Splits, epochs: int, folder: Path) -> list[Tensor]:
    """The same run in a plain loop; returns the trained weights."""
    step = HandWritten(network())
    batches = TrainingBatches(data.train, BATCH, seed=0, chunk=1, epochs=epochs)
    total, taken = torch.zeros(()), 0
    with open(folder / "losses.csv", "w") as losses:
        for epoch in range(epochs):
            for group, rows in batches.order(epoch):
                step.optimizer.zero_grad()
                loss = step.loss(data.train[group].rows(rows))
                loss.backward()
                step.optimizer.step()
                total, taken = total + loss.detach(), taken + 1
                if taken % EVERY == 0:
                    losses.write(f"{taken},{total.item() / EVERY}\n")
                    total = torch.zeros(())
            losses.write(f"{taken},{','.join(map(str, accuracies(step, data.val)))}\n")
    return [parameter.detach() for layer in step.layers for parameter in layer]


@torch.no_grad()
def accuracies(step: HandWritten, validation: Sequence[InterchangeBatch]) -> list[float]:
    """Accuracy and IIA on each set."""
    found = []
    for group in validation:
        plain, intervened = step.logits(group)
        found.append((plain.argmax(1) == group.base_label).float().mean().item())
        found.append((intervened.argmax(1) == group.counterfactual_label).float().mean().item())
    return found


def main() -> None:
    """Check that both train the same network, then compare."""
    run = Comparisons(__doc__)
    epochs = 3 if run.quick else 5
    data = splits(BATCH * STEPS_PER_EPOCH, ["joint"])
    with tempfile.TemporaryDirectory() as folder:
        works = [partial(side, data, epochs, Path(folder)) for side in (through_lightning, by_hand)]
        trained = zip(*(work() for work in works), strict=True)
        apart = max((a - b).abs().max().item() for a, b in trained)
        if apart > 1e-3:
            raise SystemExit(f"not the same computation: the weights end up to {apart} apart")
        name = f"training_loop/{epochs * STEPS_PER_EPOCH}_steps"
        run.overhead(name, *works, run.pairs(20, quick=10), 1.5)
    run.exit()


if __name__ == "__main__":
    main()
