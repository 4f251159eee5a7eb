"""Training steps: this package's, and the ones written by hand that bound it from below."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.optim import Optimizer

from _equality import LEARNING_RATE
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import Prefix, finish, prefix
from iit_lab.models.mlp import MLP
from iit_lab.training.module import InterchangeModule

SLOTS = {"left_equality": slice(0, 8), "right_equality": slice(8, 16)}


class Step(ABC):
    """A way of training something on base/source pairs."""

    optimizer: Optimizer

    @abstractmethod
    def loss(self, batch: InterchangeBatch) -> Tensor:
        """What is minimised."""

    def __call__(self, batch: InterchangeBatch) -> float:
        """One whole step; returns the loss before it."""
        self.optimizer.zero_grad()
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss

    def each(self, batches: Sequence[InterchangeBatch]) -> None:
        """One step per batch."""
        for batch in batches:
            self(batch)


class Ours(Step):
    """What `iit-lab` does for one batch."""

    def __init__(self, module: InterchangeModule) -> None:
        self.module = module
        self.optimizer = module.configure_optimizers()

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """As `InterchangeModule.training_step` computes it."""
        return self.module.losses(batch)["loss"]


class OursCached(Ours):
    """The same from cached activations: what comes before the site is computed once per batch."""

    def __init__(self, module: InterchangeModule, batches: Sequence[InterchangeBatch]) -> None:
        super().__init__(module)
        self.prefixes: dict[int, Prefix] = {
            id(batch): prefix(module.model, module.intervention, batch, source_grad=False) for batch in batches
        }

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """From the site on."""
        module = self.module
        outputs = finish(module.model, module.intervention, batch, self.prefixes[id(batch)])
        labels = batch.base_label, batch.counterfactual_label
        return module.objective(outputs.base, outputs.counterfactual, *labels)["loss"]


class HandWritten(Step):
    """DAS in plain torch, as one would write it for this one network: every forward runs to the end.

    Args:
        model: gives the weights.
        weight: its columns are made orthonormal by one thin QR per step; width x rank.
    """

    def __init__(self, model: MLP, weight: Tensor) -> None:
        self.layers = [(layer.weight.detach(), layer.bias.detach()) for layer in model.layers]
        self.weight = weight.detach().clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.weight], lr=LEARNING_RATE)

    def before(self, inputs: Tensor) -> Tensor:
        """Layer 0."""
        return torch.relu(linear(inputs, *self.layers[0]))

    def after(self, hidden: Tensor) -> Tensor:
        """Layers 1, 2 and the read-out."""
        for layer in self.layers[1:-1]:
            hidden = torch.relu(linear(hidden, *layer))
        return linear(hidden, *self.layers[-1])

    def swapped(self, base: Tensor, sources: Sequence[Tensor], variables: Sequence[str]) -> Tensor:
        """Layer 0 with each variable's eight rotated dimensions taken from its source."""
        rotation = torch.linalg.qr(self.weight).Q
        if len(variables) == 1:
            columns = rotation[:, SLOTS[variables[0]]]
            return torch.addmm(base, (sources[0] - base) @ columns, columns.T)
        parts = [(s - base) @ rotation[:, SLOTS[v]] for s, v in zip(sources, variables, strict=True)]
        return torch.addmm(base, torch.cat(parts, dim=1), rotation.T)

    def activations(self, batch: InterchangeBatch) -> tuple[Tensor, list[Tensor]]:
        """Layer 0 on the base and on the sources."""
        hidden = []
        with torch.no_grad():
            for source in batch.sources:
                hidden.append(self.before(source))
                self.after(hidden[-1])
        return self.before(batch.base), hidden

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Cross-entropy under the interchange."""
        base, sources = self.activations(batch)
        logits = self.after(self.swapped(base, sources, batch.variables))
        return cross_entropy(logits, batch.counterfactual_label)


class FreshBound(HandWritten):
    """B1: the source's forward stops at the site, the backward at the site too."""

    def activations(self, batch: InterchangeBatch) -> tuple[Tensor, list[Tensor]]:
        """Layer 0 alone."""
        return self.before(batch.base), [self.before(source) for source in batch.sources]


class CachedBound(HandWritten):
    """B2: forward and backward of the layers after the site alone; layer 0 is computed once per batch."""

    def __init__(self, model: MLP, weight: Tensor, batches: Sequence[InterchangeBatch]) -> None:
        super().__init__(model, weight)
        self.cache = {id(batch): FreshBound.activations(self, batch) for batch in batches}

    def activations(self, batch: InterchangeBatch) -> tuple[Tensor, list[Tensor]]:
        """What was kept."""
        return self.cache[id(batch)]
