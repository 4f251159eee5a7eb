"""Shape images: does the weighted sum of an ellipse's circularity, colour and area exceed a threshold?

The data of the CNN study of AmirZur/ellipse: one filled ellipse in the middle of a white image, upright or
turned by a quarter, in a grey between black and nearly white.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.model import CausalModel, Setting, Variable
from iit_lab.tasks.base import Task
from iit_lab.tasks.images import draw_examples

LATENTS: tuple[str, ...] = ("circularity", "colour", "area")
WHITE = 100
"""Bytes of an image count hundredths of white, the steps in which greys are drawn."""
THRESHOLD = 0.6
SIZE = 28
ASPECT = (0.3, 1.0)
GREY = 0.9
ROWS = 8192
"""Images drawn at once: all would take many times the memory of what comes out."""
SURFACE = (16 * math.pi, 64 * math.pi)


def shapes_model(coefficients: Sequence[float], variables: Sequence[str]) -> CausalModel:
    """From what is drawn to its three properties in [0, 1], and whether their weighted sum exceeds 0.6.

    Args:
        coefficients: weights of circularity, colour and area.
        variables: what may be intervened in: properties, or several as one variable, `circularity+colour`.

    Raises:
        ValueError: for an unknown property or one that occurs twice.
    """
    groups = [tuple(name.split("+")) for name in variables]
    named = [latent for group in groups for latent in group]
    if not groups or any(latent not in LATENTS for latent in named) or len(set(named)) != len(named):
        raise ValueError(
            f"variables={list(variables)}: one or more of {list(LATENTS)}, each once; + joins several in one"
        )
    weights = dict(zip(LATENTS, coefficients, strict=True))
    groups += [(latent,) for latent in LATENTS if latent not in named]
    joint = [Variable("+".join(group), group, _joined) for group in groups if len(group) > 1]
    weigh = partial(_exceeds, [weights[latent] for group in groups for latent in group])
    return CausalModel(
        [
            *map(Variable, ("aspect", "grey", "surface", "turned")),
            Variable("circularity", ("aspect",), partial(_share, *ASPECT)),
            Variable("colour", ("grey",), partial(_share, 0.0, GREY)),
            Variable("area", ("surface",), _area),
            *joint,
            Variable("exceeds", tuple("+".join(group) for group in groups), weigh),
        ],
        "exceeds",
    )


def _share(low: float, high: float, value: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    return (value - low) / (high - low)


def _area(surface: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    return _share(*SURFACE, surface).round(decimals=2)


def _joined(*latents: Float[Tensor, " batch"]) -> Float[Tensor, "batch latents"]:
    return torch.stack(latents, dim=1)


def _exceeds(weights: Sequence[float], *values: Float[Tensor, "batch ..."]) -> Bool[Tensor, " batch"]:
    terms = torch.cat([value.view(len(value), -1) for value in values], dim=1)
    total = terms @ terms.new_tensor(weights)
    return total > THRESHOLD + 1e-6  # sums that equal it do not exceed it, whatever their rounding


class Shapes(Task):
    """Images of one ellipse each, two classes: 1 if its properties' weighted sum exceeds 0.6.

    Circularity is the ratio of the axes, from 0.3 to 1; colour a grey from 0 to 0.9; area from 16 to 64 pi
    pixels of an image of 28 x 28, larger or smaller with the image. Each is uniform, rounded as in the study.
    The threshold splits the inputs in halves where the coefficients add up to 1.2.

    Args:
        coefficients: weights of circularity, colour and area.
        variables: see `shapes_model`.
        size: height and width of the image, in pixels.

    Raises:
        ValueError: for an unknown variable, weights that are not three, or an image that shows nothing.
    """

    n_classes = 2

    def __init__(
        self,
        coefficients: Sequence[float] = (0.4, 0.4, 0.4),
        variables: Sequence[str] = LATENTS,
        size: int = SIZE,
    ) -> None:
        if len(coefficients) != len(LATENTS) or min(coefficients) < 0:
            raise ValueError(f"coefficients={list(coefficients)}: weights of {', '.join(LATENTS)}, 0 or more")
        if size < 4:
            raise ValueError(f"size={size}: an image of 4 x 4 pixels is the smallest that shows an ellipse")
        self.coefficients, self.size = tuple(coefficients), size
        self.variables = tuple(variables)
        self.causal_model = shapes_model(coefficients, variables)
        self.input_shape = (size, size, 1)

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Ratio of the axes, grey, surface in pixels, and whether it is turned."""
        aspect, grey, surface, turned = torch.rand(4, n, generator=generator)
        low, high = SURFACE
        return {
            "aspect": (ASPECT[0] + (ASPECT[1] - ASPECT[0]) * aspect).round(decimals=2),
            "grey": (GREY * grey).round(decimals=2),
            "surface": (low + (high - low) * surface).round(decimals=2),
            "turned": turned < 0.5,
        }

    def encode(self, setting: Setting) -> UInt8[Tensor, "batch height width 1"]:
        """Images in hundredths of white."""
        drawn = [setting[name].split(ROWS) for name in ("aspect", "grey", "surface", "turned")]
        return torch.cat([self._draw(*rows) for rows in zip(*drawn, strict=True)])

    def _draw(self, aspect: Tensor, grey: Tensor, surface: Tensor, turned: Tensor) -> Tensor:
        covered = render(aspect, surface * (self.size / SIZE) ** 2, turned, self.size)
        inside = (WHITE * grey).round().to(torch.uint8)[:, None, None]
        return torch.where(covered, inside, torch.tensor(WHITE, dtype=torch.uint8)).unsqueeze(-1)

    def wrong(self) -> Task | None:
        """Every variable stands for the next property: colour for circularity, and so on.

        None where the properties that are intervened in stay the same ones.
        """
        following = dict(zip(LATENTS, (*LATENTS[1:], LATENTS[0]), strict=True))
        moved = ["+".join(following[latent] for latent in name.split("+")) for name in self.variables]
        if set(_latents(moved)) == set(_latents(self.variables)):
            return None
        return Shapes(self.coefficients, moved, self.size)

    def draw(self, batch: InterchangeBatch) -> Figure:
        """Bases, sources and labels of the first pairs."""
        return draw_examples(batch, WHITE, self.causal_model.output)


def _latents(variables: Sequence[str]) -> list[str]:
    return [latent for name in variables for latent in name.split("+")]


def render(
    aspect: Float[Tensor, " batch"],
    surface: Float[Tensor, " batch"],
    turned: Bool[Tensor, " batch"],
    size: int,
) -> Bool[Tensor, "batch size size"]:
    """Which pixels an ellipse covers; no anti-aliasing.

    Args:
        aspect: ratio of the minor to the major axis.
        surface: of the ellipse, in pixels.
        turned: by a quarter, counter-clockwise; else the major axis is horizontal.
        size: height and width; the middle is the pixel at `size // 2`.
    """
    major = (surface / (math.pi * aspect)).sqrt()
    place = torch.arange(size) - size // 2
    along, across = ((place / half[:, None]).square() for half in (major, major * aspect))
    rows = torch.where(turned[:, None], along.flip(1), across)
    columns = torch.where(turned[:, None], across, along)
    return rows[:, :, None] + columns[:, None, :] <= 1
