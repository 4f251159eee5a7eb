"""An IIT step written by hand for one network."""

import torch
from _equality import LEARNING_RATE, SLOTS
from _steps import Step
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.mlp import MLP


class HandWritten(Step):
    """Plain torch: base and sources stacked up to layer 1, base and intervened run stacked from there.

    Stacking is the fastest of the ways we tried at a batch of 1024 and below.

    Args:
        model: gives the initial weights.
    """

    def __init__(self, model: MLP) -> None:
        copies = [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in model.layers]
        self.layers = [(weight.requires_grad_(), bias.requires_grad_()) for weight, bias in copies]
        self.optimizer = torch.optim.Adam([p for layer in self.layers for p in layer], lr=LEARNING_RATE)

    def before(self, inputs: Tensor) -> Tensor:
        """Layers 0 and 1."""
        for layer in self.layers[:2]:
            inputs = torch.relu(linear(inputs, *layer))
        return inputs

    def after(self, hidden: Tensor) -> Tensor:
        """Layer 2 and the read-out."""
        return linear(torch.relu(linear(hidden, *self.layers[2])), *self.layers[3])

    def logits(self, batch: InterchangeBatch) -> tuple[Tensor, Tensor]:
        """Without and with the intervention; each variable's half of layer 1 comes from its source."""
        stacked = self.before(torch.cat([batch.base, *batch.sources]))
        base, *sources = stacked.chunk(1 + len(batch.sources))
        owners = dict(zip(batch.variables, sources, strict=True))
        halves = [owners.get(variable, base)[:, slot] for variable, slot in SLOTS.items()]
        both = self.after(torch.cat([base, torch.cat(halves, dim=1)]))
        plain, intervened = both.chunk(2)
        return plain, intervened

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Behaviour and interchange, equally weighted."""
        plain, intervened = self.logits(batch)
        behaviour = cross_entropy(plain, batch.base_label)
        return behaviour + cross_entropy(intervened, batch.counterfactual_label)
