"""Interchanges in a convolution's output as pyvene does them, with the rotation of the CNN study."""

from types import SimpleNamespace

import pytest
import pyvene
import torch
from torch import nn

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.cnn import CNN
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.shapes import Shapes
from iit_lab.training.data import draw_splits

TASK = Shapes(variables=["circularity+colour"], size=12)
RANK = 3


class Flat(pyvene.LowRankRotatedSpaceIntervention):
    """As pyvene's own, on activations with channels."""

    def forward(self, base, source, subspaces=None):
        return super().forward(base.flatten(1), source.flatten(1), subspaces).view(base.shape)


class Network(nn.Module):
    """The same network as torch writes it."""

    def __init__(self, model: CNN) -> None:
        super().__init__()
        self.config = SimpleNamespace(to_dict=dict)
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(3 * 3 * 6, 3), nn.Linear(3, 1)
        own = (self.conv1, self.conv2, self.fc1, self.fc2)
        for mine, theirs in zip((*model.convolutions, *model.dense), own, strict=True):
            theirs.load_state_dict(mine.state_dict())

    def forward(self, images):
        hidden = nn.functional.max_pool2d(self.conv1(images).relu(), 2)
        hidden = nn.functional.max_pool2d(self.conv2(hidden).relu(), 2)
        logit = self.fc2(self.fc1(hidden.permute(0, 2, 3, 1).flatten(1)).relu())
        return torch.cat([torch.zeros_like(logit), logit], 1)


@pytest.mark.parametrize(("layer", "channels", "width"), [(0, 4, 576), (1, 6, 216)])
def test_logits_and_gradients_under_an_interchange(layer, channels, width):
    model = CNN([4, 6], [0, 1], 3, [3], True, True, 0.01, TASK.input_shape, 2, generator_for(0))
    where = place(TASK.variables, layer, "pre_activation")
    ours = Intervention(where, model, Interchange(), LowRankRotation, generator_for(1), RANK)
    batch = draw_splits(TASK, CounterfactualPolicy(12, 2, 2, sources="single"), TASK.variables, 0).train[0]

    theirs = Flat(embed_dim=width, low_rank_dimension=RANK)
    basis = ours.subspaces[0].basis().detach()
    with (
        torch.no_grad()
    ):  # pyvene takes channels for heads: it has rows, channels, columns, ours has channels last
        side = int((width / channels) ** 0.5)
        columns = basis.unflatten(0, (side, side, channels)).transpose(1, 2).flatten(0, 2)
        theirs.rotate_layer.weight = columns.contiguous()
    network = Network(model)
    config = pyvene.IntervenableConfig(
        representations=[{"component": f"conv{layer + 1}.output", "intervention": theirs}], model_type=Network
    )
    intervenable = pyvene.IntervenableModel(config, network)
    intervenable.enable_model_gradients()
    base, source = (part.float().div(100).permute(0, 3, 1, 2) for part in (batch.base, batch.sources[0]))
    plain, intervened = intervenable({"images": base}, [{"images": source}], output_original_output=True)

    found = interchange(model, ours, batch, want_base=True)
    torch.testing.assert_close(found.base, plain)
    torch.testing.assert_close(found.counterfactual, intervened, atol=1e-5, rtol=1e-4)
    for logits in (found.counterfactual, intervened):
        nn.functional.cross_entropy(logits, batch.counterfactual_label).backward()
    for mine, other in zip(model.convolutions, (network.conv1, network.conv2), strict=True):
        torch.testing.assert_close(mine.weight.grad, other.weight.grad, atol=1e-5, rtol=1e-3)
