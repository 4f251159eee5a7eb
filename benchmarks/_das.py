"""DAS steps written by hand for one network: what a step costs without any framework.

All of them use the cheapest formula we know, the one that this package uses where a variable has half of the
site or more: base + sum over variables of (source - base) Q Q^T, with Q the variable's columns of the basis
and Q Q^T multiplied out first.
"""

from collections.abc import Sequence

import torch
from _equality import LEARNING_RATE, SLOTS
from _steps import Step
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.mlp import MLP

Activations = tuple[Tensor, list[Tensor]]


class HandWritten(Step):
    """Plain torch, every forward run to the end, one thin QR per step.

    Args:
        model: gives the weights, which stay as they are.
        weight: what is trained, width x rank; its columns are made orthonormal.
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
        result = base
        for source, variable in zip(sources, variables, strict=True):
            columns = rotation[:, SLOTS[variable]]
            result = torch.addmm(result, source - base, columns @ columns.T)
        return result

    def activations(self, batch: InterchangeBatch) -> Activations:
        """Layer 0 on the base and on the sources, whose logits nobody needs."""
        sources = []
        with torch.no_grad():
            for source in batch.sources:
                sources.append(self.before(source))
                self.after(sources[-1])
        return self.before(batch.base), sources

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Cross-entropy under the interchange."""
        base, sources = self.activations(batch)
        logits = self.after(self.swapped(base, sources, batch.variables))
        return cross_entropy(logits, batch.counterfactual_label)


class FreshBound(HandWritten):
    """B1: two forwards, of which the source's stops at the site, and the backward after the site."""

    def activations(self, batch: InterchangeBatch) -> Activations:
        """Layer 0 alone."""
        return self.before(batch.base), [self.before(source) for source in batch.sources]


class CachedBound(HandWritten):
    """B2: forward and backward after the site only; layer 0 is computed once per batch."""

    def __init__(self, model: MLP, weight: Tensor, batches: Sequence[InterchangeBatch]) -> None:
        super().__init__(model, weight)
        self.cache = {id(batch): super(CachedBound, self).activations(batch) for batch in batches}

    def activations(self, batch: InterchangeBatch) -> Activations:
        """What was kept."""
        return self.cache[id(batch)]
