"""A network that solves hierarchical equality by construction, with each variable in known units.

After the handcrafted network of pyvene's DAS tutorial: a perfect unit test, IIA is exactly 1.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from iit_lab.models.base import Activation, Point, StagedModel, Tap


class HandcraftedEquality(StagedModel):
    r"""Two hidden layers; layer 0 holds left equality in its first half and right equality in its second.

    Layer 0 holds $\mathrm{relu}(a-b), \mathrm{relu}(b-a), \mathrm{relu}(c-d), \mathrm{relu}(d-c)$, so that
    the sum over the first half, $L$, is zero iff a equals b, and that over the second half, $R$, iff c
    equals d. Layer 1 holds $L, R, \mathrm{relu}(L-R), \mathrm{relu}(R-L)$. The logits differ by
    $(L + R) - K \cdot 2\min(L, R) - \epsilon$: positive iff exactly one of the two is zero.

    Exact where entries are multiples of `resolution` within `[-bound, bound]`.

    Args:
        input_shape: of one example, four objects one after another.
        n_classes: must be 2.
        resolution: smallest difference between two entries that differ.
        bound: largest entry.
        generator: unused; nothing here is random.

    Raises:
        ValueError: if the input does not hold four objects, or there are not two classes.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        resolution: float = 0.01,
        bound: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        del generator
        if len(input_shape) != 1 or input_shape[0] % 4 or n_classes != 2:
            raise ValueError(
                f"input_shape={list(input_shape)}, n_classes={n_classes}: needs four objects and two classes"
            )
        dim = input_shape[0] // 4
        eye = torch.eye(dim)
        pair = torch.cat([torch.cat([eye, -eye], 1), torch.cat([-eye, eye], 1)])
        sums = torch.kron(torch.eye(2), torch.ones(1, 2 * dim))
        differences = sums[:1] - sums[1:]
        gain = 2 * bound * 2 * dim / resolution
        unequal = torch.tensor([1 - gain, 1 - gain, gain, gain])
        self.layers = nn.ModuleList(
            [
                _fixed(torch.block_diag(pair, pair)),
                _fixed(torch.cat([sums, differences, -differences])),
                _fixed(torch.stack([torch.zeros(4), unequal]).flip(0), torch.tensor([-resolution / 2, 0.0])),
            ]
        )
        self.widths = (4 * dim, 4)

    @property
    def n_stages(self) -> int:
        """Two hidden layers and the read-out."""
        return 3

    @property
    def n_layers(self) -> int:
        """Two."""
        return 2

    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """`block_output` only."""
        return {"block_output": (self.widths[layer],)}

    def point(self, layer: int, component: str) -> Point:
        """The block output is the next stage's input."""
        del component
        return Point(layer + 1)

    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Float[Tensor, "batch units"]:
        """One linear map, and a ReLU for all but the read-out."""
        del tap
        value = self.layers[stage](value)
        return value if stage == 2 else torch.relu(value)

    def describe(self) -> str:
        """`handcrafted equality`."""
        return "handcrafted equality"


def _fixed(weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    assert isinstance(layer, nn.Linear)
    layer.weight.data = weight.clone()
    layer.bias.data = torch.zeros(weight.shape[0]) if bias is None else bias
    return layer
