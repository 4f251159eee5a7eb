"""A convolutional network: `layer i` is the i-th convolution, then come the dense layers."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import linear, max_pool2d, pad

from iit_lab.models.base import Activation, Point, StagedModel, Tap
from iit_lab.models.mlp import draw_dense, draw_weights


class CNN(StagedModel):
    """Convolutions that keep the image's size, each with a ReLU, some with 2 x 2 max pooling; dense layers.

    Stage `2 i` is the linear map of layer `i`, stage `2 i + 1` its ReLU and pooling; the last stage is the
    read-out. A convolution's activations are laid out as height x width x channels, so that flattening one
    gives what a dense layer reads: of a site, `position` is a pixel (row by row) and `units` are channels.
    Weights are drawn as torch draws them, from the generator given.

    Args:
        channels: of each convolution.
        pooled: which convolutions are followed by max pooling.
        kernel: height and width of the filters; odd.
        hidden: units of each dense layer before the read-out.
        single_logit: of two classes, the first one's logit is 0 and one unit says the second's, so that
            cross-entropy is binary cross-entropy of that unit.
        alive: flip the signs of hidden dense units that would begin below their ReLU, and let a single
            read-out unit's weights alternate in sign. Dense units read activations much alike for all images,
            so one is above 0 on all of them or on none, and the first steps move all that are read with the
            same sign together: otherwise one network of four loses all three of its units, for good.
        scale: what images of bytes are multiplied by.
        input_shape: of one image: height, width and channels.
        n_classes: logits.
        generator: source of the initial weights.

    Raises:
        ValueError: if a layer would be empty, or the images are too small to be pooled so often.
    """

    splits: ClassVar[bool] = True

    def __init__(
        self,
        channels: Sequence[int],
        pooled: Sequence[int],
        kernel: int,
        hidden: Sequence[int],
        single_logit: bool,
        alive: bool,
        scale: float,
        input_shape: Sequence[int],
        n_classes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self._check(channels, pooled, kernel, hidden, single_logit, input_shape, n_classes)
        self.channels, self.hidden, self.pooled = tuple(channels), tuple(hidden), frozenset(pooled)
        self.scale, self._single, self._margin = scale, single_logit, kernel // 2
        height, width, read = input_shape
        sizes, convolutions = [(height, width)], []
        for layer, written in enumerate(channels):
            own = nn.utils.skip_init(nn.Conv2d, read, written, kernel, padding=self._margin)
            draw_weights(own, read * kernel**2, generator)
            convolutions.append(own)
            if layer in self.pooled:
                height, width = height // 2, width // 2
            sizes.append((height, width))
            read = written
        self._sizes = tuple(sizes)
        widths = [height * width * read, *hidden, 1 if single_logit else n_classes]
        self._convolutions = tuple(convolutions)  # not through ModuleList, which costs time
        self._dense = tuple(draw_dense(*ends, generator) for ends in pairwise(widths))
        self.convolutions, self.dense = nn.ModuleList(self._convolutions), nn.ModuleList(self._dense)
        if alive:
            self._revive(torch.ones(1, *input_shape))

    @torch.no_grad()
    def _revive(self, blank: Float[Tensor, "1 height width channels"]) -> None:
        for layer, own in enumerate(self._dense[:-1], start=len(self.channels)):
            dead = self.run(blank, stop=2 * layer + 1)[0] < 0
            own.weight[dead] *= -1
            own.bias[dead] *= -1
        if self._single:
            last = self._dense[-1].weight
            last.copy_(last.abs() * (1 - 2 * (torch.arange(last.shape[1]) % 2)))

    @staticmethod
    def _check(
        channels: Sequence[int],
        pooled: Sequence[int],
        kernel: int,
        hidden: Sequence[int],
        single_logit: bool,
        input_shape: Sequence[int],
        n_classes: int,
    ) -> None:
        if len(input_shape) != 3:
            raise ValueError(f"input_shape={tuple(input_shape)}: a CNN reads height x width x channels")
        if not channels or min(channels) < 1:
            raise ValueError(f"channels={list(channels)}: one convolution or more, none without a channel")
        if hidden and min(hidden) < 1:
            raise ValueError(f"hidden={list(hidden)}: a dense layer needs one unit or more")
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel={kernel}: must be odd")
        if any(not 0 <= layer < len(channels) for layer in pooled):
            raise ValueError(f"pooled={list(pooled)}: the convolutions are 0..{len(channels) - 1}")
        if single_logit and n_classes != 2:
            raise ValueError(f"single_logit=true: the task has {n_classes} classes, not two")
        least, (height, width, _) = 2 ** len(set(pooled)), input_shape
        if min(height, width) < least:
            raise ValueError(
                f"pooled={list(pooled)}: halves images {len(set(pooled))} times, so they need {least} x "
                f"{least} pixels or more; the task's have {height} x {width}"
            )

    @property
    def n_stages(self) -> int:
        """Two for every layer, and the read-out."""
        return 2 * self.n_layers + 1

    @property
    def n_layers(self) -> int:
        """Convolutions and hidden dense layers."""
        return len(self.channels) + len(self.hidden)

    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """`pre_activation`, what the linear map gives, and `block_output`, after ReLU and pooling."""
        if layer >= len(self.channels):
            units = (self.hidden[layer - len(self.channels)],)
            return {"pre_activation": units, "block_output": units}
        before, after = (math.prod(size) for size in self._sizes[layer : layer + 2])
        channels = self.channels[layer]
        return {"pre_activation": (before, channels), "block_output": (after, channels)}

    def point(self, layer: int, component: str) -> Point:
        """Both are a stage's input."""
        return Point(2 * layer + (1 if component == "pre_activation" else 2))

    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Activation:
        """One linear map, or what follows it; there are no inner components."""
        del tap
        layer, nonlinear = divmod(stage, 2)
        convolved = layer < len(self.channels)
        if not nonlinear:
            return self._convolve(layer, value) if convolved else self._map(layer, value)
        if layer in self.pooled:  # before the ReLU, which has fewer pixels left then and gives the same
            value = _channels_last(max_pool2d(_channels_first(value), 2))
        return torch.relu(value)

    def _convolve(
        self, layer: int, value: Shaped[Tensor, "batch height width read"]
    ) -> Float[Tensor, "batch height width written"]:
        if value.dtype == torch.uint8:
            value = value.float() * self.scale
        own = self._convolutions[layer]
        found = nn.functional.conv2d(_channels_first(value), own.weight, own.bias, padding=self._margin)
        return _channels_last(found)

    def _map(self, layer: int, value: Activation) -> Float[Tensor, "batch units"]:
        own = self._dense[layer - len(self.channels)]
        found = linear(value.flatten(1), own.weight, own.bias)
        return pad(found, (1, 0)) if self._single and layer == self.n_layers else found

    def describe(self) -> str:
        """Such as `cnn 16-32-64 3`."""
        return "cnn " + " ".join("-".join(map(str, part)) for part in (self.channels, self.hidden) if part)


def _channels_first(
    value: Float[Tensor, "batch height width channels"],
) -> Float[Tensor, "batch channels height width"]:
    """What torch's operators take. Nothing is copied: they are faster in this layout, too."""
    return value.permute(0, 3, 1, 2)


def _channels_last(
    value: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch height width channels"]:
    """What goes from stage to stage, flat in memory."""
    return value.permute(0, 2, 3, 1).contiguous()
