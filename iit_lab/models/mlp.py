"""A multi-layer perceptron: `layer i` is the i-th hidden layer."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from iit_lab.models.base import Activation, Point, StagedModel, Tap


class MLP(StagedModel):
    """Hidden ReLU layers and a linear read-out to class logits.

    Stage `i` is hidden layer `i`; the last stage is the read-out. Weights are drawn as torch draws those of
    `nn.Linear`, from the generator given.

    Args:
        hidden: units of each hidden layer.
        input_shape: of one example; flattened.
        n_classes: logits.
        generator: source of the initial weights.

    Raises:
        ValueError: if there is no hidden layer, or an empty one.
    """

    def __init__(
        self, hidden: Sequence[int], input_shape: Sequence[int], n_classes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if not hidden or min(hidden) < 1:
            raise ValueError(
                f"hidden={list(hidden)}: give one hidden layer or more, each of one unit or more"
            )
        self.hidden = tuple(hidden)
        widths = [math.prod(input_shape), *hidden, n_classes]
        self._chain = tuple(draw_dense(*ends, generator) for ends in pairwise(widths))
        self.layers = nn.ModuleList(self._chain)

    @property
    def n_stages(self) -> int:
        """Hidden layers and the read-out."""
        return len(self.hidden) + 1

    @property
    def n_layers(self) -> int:
        """Hidden layers."""
        return len(self.hidden)

    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """`block_output`, after the ReLU, and `pre_activation`, before it."""
        return {"pre_activation": (self.hidden[layer],), "block_output": (self.hidden[layer],)}

    def point(self, layer: int, component: str) -> Point:
        """The block output is the next stage's input; the pre-activation lies within the stage."""
        return Point(layer + 1) if component == "block_output" else Point(layer, component)

    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Float[Tensor, "batch units"]:
        """One linear map, and a ReLU for all but the read-out."""
        if value.ndim > 2:
            value = value.flatten(1)
        layer = self._chain[stage]  # not through ModuleList and Module: they cost more than the product
        value = nn.functional.linear(value, layer.weight, layer.bias)
        if stage == self.n_layers:
            return value
        return torch.relu(tap("pre_activation", value))

    def describe(self) -> str:
        """Such as `mlp 16-16-16`."""
        return "mlp " + "-".join(map(str, self.hidden))


def draw_dense(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """`nn.Linear` with torch's default distribution, drawn from an explicit generator."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    assert isinstance(layer, nn.Linear)
    draw_weights(layer, n_in, generator)
    return layer


@torch.no_grad()
def draw_weights(layer: nn.Module, n_in: int, generator: torch.Generator) -> None:
    """Draw weight and bias as torch draws them, for units that read `n_in` numbers each."""
    bound = 1 / math.sqrt(n_in)
    for parameter in (layer.weight, layer.bias):
        assert isinstance(parameter, nn.Parameter)
        parameter.uniform_(-bound, bound, generator=generator)
