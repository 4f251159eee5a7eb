"""The same DAS step as pyvene's tutorial `DAS_Main_Introduction` takes it.

Two linked `RotatedSpaceIntervention`s at layer 0 share one 16 x 16 rotation, of which the left variable has
dimensions 0-7 and the right one 8-15. pyvene is given every advantage that its interface offers:
`use_fast`, the nested lists of locations and dimensions made beforehand, no accuracy in Python.
"""

import contextlib
import io
import logging
from typing import Any

import torch
from _equality import LEARNING_RATE, SLOTS
from _steps import Step
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.mlp import MLP

logging.getLogger().setLevel(logging.ERROR)  # pyvene warns on the root logger
with contextlib.redirect_stdout(io.StringIO()):
    import pyvene
    from pyvene.models.mlp.modelings_mlp import MLPConfig


class PyveneStep(Step):
    """DAS with pyvene on pyvene's own perceptron.

    Args:
        model: gives the network's weights.
        rotation: the rotation to begin with, width x width, orthogonal.
    """

    def __init__(self, model: MLP, rotation: Tensor) -> None:
        network = their_network(model)
        halves = pyvene.RepresentationConfig(0, "block_output", "pos", 1, intervention_link_key=0)
        config = pyvene.IntervenableConfig(
            model_type=type(network),
            representations=[halves, halves],
            intervention_types=pyvene.RotatedSpaceIntervention,
        )
        self.intervenable = pyvene.IntervenableModel(config, network, use_fast=True)
        self.intervenable.disable_model_gradients()
        shared = next(iter(self.intervenable.interventions.values())).rotate_layer
        shared.weight = rotation.detach().clone()
        self.optimizer = torch.optim.Adam(shared.parameters(), lr=LEARNING_RATE)
        self._arguments: dict[int, tuple[Any, ...]] = {}

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Cross-entropy under the interchange."""
        if id(batch) not in self._arguments:
            self._arguments[id(batch)] = arguments(batch)
        base, sources, places, dimensions = self._arguments[id(batch)]
        _, outputs = self.intervenable(base, sources, places, subspaces=dimensions)
        return cross_entropy(outputs[0], batch.counterfactual_label)


def their_network(model: MLP) -> nn.Module:
    """Pyvene's classifier with the same weights."""
    config = MLPConfig(h_dim=16, activation_function="relu", n_layer=3, num_classes=2, pdrop=0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        _, _, theirs = pyvene.create_mlp_classifier(config)
    linears = [*(block.ff1 for block in theirs.mlp.h), theirs.score]
    for mine, other in zip(model.layers, linears, strict=True):
        other.load_state_dict(mine.state_dict())
    return theirs.eval()


def arguments(batch: InterchangeBatch) -> tuple[Any, ...]:
    """What the tutorial passes: a location and dimensions for every row, None for a variable left alone."""
    sources, places, dimensions = [], [], []
    for name, slot in SLOTS.items():
        named = name in batch.variables
        source = batch.sources[batch.source_index(name)].unsqueeze(1) if named else None
        sources.append({"inputs_embeds": source} if named else None)
        places.append([[0]] * len(batch) if named else None)
        dimensions.append([list(range(slot.start, slot.stop))] * len(batch) if named else None)
    return (
        {"inputs_embeds": batch.base.unsqueeze(1)},
        sources,
        {"sources->base": (places, places)},
        dimensions,
    )
