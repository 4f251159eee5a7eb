"""IIT on shape images: the network, its data, and a step written by hand."""

import torch
from _steps import Step
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, linear, max_pool2d

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.cnn import CNN
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.sites import Site
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.shapes import Shapes
from iit_lab.training.data import draw_splits
from iit_lab.training.module import InterchangeModule

LEARNING_RATE = 1e-3
TASK = Shapes(variables=["circularity+colour"])
WIDTHS = (12_544, 6_272, 3_136)


def network() -> CNN:
    """The study's network with fixed initial weights."""
    return CNN(
        channels=[16, 32, 64],
        pooled=[0, 1],
        kernel=3,
        hidden=[3],
        single_logit=True,
        alive=True,
        scale=0.01,
        input_shape=TASK.input_shape,
        n_classes=2,
        generator=generator_for(0),
    )


def pairs(n: int) -> InterchangeBatch:
    """One batch; images as bytes, as training has them."""
    return draw_splits(TASK, CounterfactualPolicy(n, 2, 2, sources="single"), TASK.variables, 0).train[0]


def iit(model: CNN, layer: int, rank: int) -> InterchangeModule:
    """Network and rotation both trainable, behaviour and interchange equally weighted."""
    intervention = Intervention(
        Alignment({TASK.variables[0]: (Site(layer, "pre_activation"),)}),
        model,
        Interchange(),
        LowRankRotation,
        generator_for(1),
        rank,
    )
    objective = Objective({"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())})
    return InterchangeModule(
        model,
        intervention,
        objective,
        lambda parameters: torch.optim.Adam(parameters, lr=LEARNING_RATE),
        None,
        (),
        train_model=True,
    )


class HandWritten(Step):
    """Plain torch in its fastest layout; base and source together to the site, base and result after it.

    Args:
        model: gives the initial weights.
        layer: the convolution whose output is rotated.
        weight: units x rank, in the order height, width, channels; its columns are made orthonormal.
    """

    def __init__(self, model: CNN, layer: int, weight: Tensor) -> None:
        self.layer, self.weight = layer, weight.detach().clone().requires_grad_()
        parts = [*model.convolutions, *model.dense]
        self.layers = [
            tuple(p.detach().clone().requires_grad_() for p in part.parameters()) for part in parts
        ]
        own = [parameter for pair in self.layers for parameter in pair]
        self.optimizer = torch.optim.Adam([*own, self.weight], lr=LEARNING_RATE)

    def convolved(self, images: Tensor, first: int, last: int) -> Tensor:
        """From one convolution's output, or the images, to another one's output."""
        for i in range(first, last + 1):
            if i:
                images = max_pool2d(images, 2) if i < 3 else images
                images = torch.relu(images)
            images = conv2d(images, *self.layers[i], padding=1)
        return images

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """Behaviour and interchange, equally weighted."""
        images = torch.cat([batch.base, batch.sources[0]]).float().mul_(0.01).permute(0, 3, 1, 2)
        base, source = self.convolved(images, 0, self.layer).permute(0, 2, 3, 1).chunk(2)
        flat, columns = base.flatten(1), torch.linalg.qr(self.weight).Q
        mixed = torch.addmm(flat, (source.flatten(1) - flat) @ columns, columns.T).view(base.shape)
        hidden = self.convolved(torch.cat([base, mixed]).permute(0, 3, 1, 2), self.layer + 1, 2)
        hidden = torch.relu(linear(torch.relu(hidden).permute(0, 2, 3, 1).flatten(1), *self.layers[3]))
        logit = linear(hidden, *self.layers[4])
        plain, intervened = torch.cat([torch.zeros_like(logit), logit], 1).chunk(2)
        behaviour = cross_entropy(plain, batch.base_label)
        return behaviour + cross_entropy(intervened, batch.counterfactual_label)
