"""The same IIT step as pyvene takes it, as in the study: a low-rank rotation of a convolution's flat output.

pyvene is given every advantage that its interface offers: `use_fast`, float images made beforehand.
"""

import contextlib
import io
import logging
from types import SimpleNamespace

import torch
from _cnn import LEARNING_RATE, WIDTHS
from _steps import Step
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.cnn import CNN

logging.getLogger().setLevel(logging.ERROR)  # pyvene warns on the root logger
with contextlib.redirect_stdout(io.StringIO()):
    import pyvene


class Flat(pyvene.LowRankRotatedSpaceIntervention):
    """As pyvene's own, on activations with channels."""

    def forward(self, base: Tensor, source: Tensor, subspaces: object = None) -> Tensor:
        """The swap, in the shape that came."""
        return super().forward(base.flatten(1), source.flatten(1), subspaces).view(base.shape)


class Network(nn.Module):
    """The study's network.

    Args:
        model: gives the weights.
    """

    def __init__(self, model: CNN) -> None:
        super().__init__()
        self.config = SimpleNamespace(to_dict=dict)
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(*ends, 3, padding=1) for ends in ((1, 16), (16, 32), (32, 64))
        )
        self.fc1, self.fc2 = nn.Linear(3136, 3), nn.Linear(3, 1)
        own = (self.conv1, self.conv2, self.conv3, self.fc1, self.fc2)
        for mine, theirs in zip((*model.convolutions, *model.dense), own, strict=True):
            theirs.load_state_dict(mine.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """Logits of two classes."""
        hidden = nn.functional.max_pool2d(torch.relu(self.conv1(images)), 2)
        hidden = nn.functional.max_pool2d(torch.relu(self.conv2(hidden)), 2)
        hidden = torch.relu(self.conv3(hidden)).permute(0, 2, 3, 1).flatten(1)
        logit = self.fc2(torch.relu(self.fc1(hidden)))
        return torch.cat([torch.zeros_like(logit), logit], 1)


class PyveneStep(Step):
    """IIT with pyvene.

    Args:
        model: gives the network's weights.
        layer: the convolution whose output is rotated.
        basis: the orthonormal columns to begin with, in the order height, width, channels.
    """

    def __init__(self, model: CNN, layer: int, basis: Tensor) -> None:
        network = Network(model)
        self.intervention = Flat(embed_dim=WIDTHS[layer], low_rank_dimension=basis.shape[1])
        config = pyvene.IntervenableConfig(
            representations=[{"component": f"conv{layer + 1}.output", "intervention": self.intervention}],
            model_type=Network,
        )
        self.intervenable = pyvene.IntervenableModel(config, network, use_fast=True)
        self.intervenable.enable_model_gradients()
        channels = model.channels[layer]
        side = int((WIDTHS[layer] / channels) ** 0.5)
        shape = (side, side, channels)  # pyvene takes channels for heads: it has rows, channels, columns
        columns = basis.detach().unflatten(0, shape).transpose(1, 2).flatten(0, 2)
        with torch.no_grad():
            self.intervention.rotate_layer.weight = columns.contiguous()
        own = [*network.parameters(), *self.intervention.rotate_layer.parameters()]
        self.optimizer = torch.optim.Adam(own, lr=LEARNING_RATE)
        self._images: dict[int, list[Tensor]] = {}

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Behaviour and interchange, equally weighted."""
        if id(batch) not in self._images:
            images = [
                part.float().mul(0.01).permute(0, 3, 1, 2).contiguous()
                for part in (batch.base, batch.sources[0])
            ]
            self._images[id(batch)] = images
        base, source = self._images[id(batch)]
        plain, intervened = self.intervenable(
            {"images": base}, [{"images": source}], output_original_output=True
        )
        behaviour = cross_entropy(plain, batch.base_label)
        return behaviour + cross_entropy(intervened, batch.counterfactual_label)
