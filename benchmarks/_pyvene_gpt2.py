"""The same DAS step on GPT-2 as pyvene takes it: low rank, all six positions one site, as in the thesis.

pyvene is given every advantage that its interface offers: `use_fast`, and nested lists made beforehand.
"""

import contextlib
import io
import logging
from typing import Any

import torch
from _gpt2 import LEARNING_RATE
from _steps import Step
from torch import Tensor
from torch.nn.functional import cross_entropy

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.gpt2 import GPT2

logging.getLogger().setLevel(logging.ERROR)  # pyvene warns on the root logger
with contextlib.redirect_stdout(io.StringIO()):
    import pyvene


class PyveneStep(Step):
    """DAS with pyvene on the same Hugging Face model.

    Args:
        model: gives the network.
        layer: after which block.
        basis: the orthonormal columns to begin with, 6 x width by rank.
    """

    def __init__(self, model: GPT2, layer: int, basis: Tensor) -> None:
        network = model.hf
        network.config.pad_token_id = network.config.vocab_size - 1  # of batches it reads the last token
        config = pyvene.IntervenableConfig(
            model_type=type(network),
            representations=[
                pyvene.RepresentationConfig(
                    layer, "block_output", "pos", model.positions, low_rank_dimension=basis.shape[1]
                )
            ],
            intervention_types=pyvene.LowRankRotatedSpaceIntervention,
        )
        self.intervenable = pyvene.IntervenableModel(config, network, use_fast=True)
        self.intervenable.disable_model_gradients()
        rotation = next(iter(self.intervenable.interventions.values())).rotate_layer
        with torch.no_grad():
            rotation.weight = basis.detach().clone()
        self.optimizer = torch.optim.Adam(rotation.parameters(), lr=LEARNING_RATE)
        self._arguments: dict[int, tuple[Any, ...]] = {}

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Cross-entropy under the interchange."""
        if id(batch) not in self._arguments:
            places = [[list(range(batch.base.shape[1]))] * len(batch)]
            given = {"sources->base": (places, places)}
            self._arguments[id(batch)] = ({"input_ids": batch.base}, [{"input_ids": batch.sources[0]}], given)
        _, outputs = self.intervenable(*self._arguments[id(batch)])
        return cross_entropy(outputs.logits, batch.counterfactual_label)
