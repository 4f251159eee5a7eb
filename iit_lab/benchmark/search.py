"""Finding alignments without being told: every block of units is tried.

The exhaustive, axis-aligned search that the DAS paper compares with (Geiger et al. 2024, section 4.1).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from iit_lab.alignment.sampling import COMPONENT, Home
from iit_lab.benchmark.claims import Claims
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.base import StagedModel
from iit_lab.sites import Site

TOGETHER = 32
"""So many of the best pairs of blocks are tried out together."""


class Block(NamedTuple):
    """Neighbouring units of a layer, and the IIA of the variable that was swapped there."""

    layer: int
    start: int
    stop: int
    iia: float

    @property
    def home(self) -> Home:
        """As a claim."""
        return Home(self.layer, tuple(range(self.start, self.stop)))


@torch.no_grad()
def block_search(
    model: StagedModel, groups: Sequence[InterchangeBatch], layers: Sequence[int] | None = None
) -> Claims:
    """The blocks with the highest IIA; among equals those with the fewest units, then the first.

    Each variable is tried in every block of every layer. Where several variables are sought, the best
    disjoint pairs by their own IIAs are then tried out together, if `groups` has pairs for that.

    Args:
        model: the network.
        groups: pairs to search with: for each variable that is sought one group of it alone, and possibly
            one of all of them.
        layers: where to look; None for all.

    Raises:
        ValueError: for more than two variables, which are too many to try out together, or a network with
            positions, whose layers have too many blocks.
    """
    if len(model.shapes(0)[COMPONENT]) > 1:
        raise ValueError(f"layers={layers}: {model.describe()} has too many blocks to try; search by masks")
    model.eval()
    alone = {group.variables[0]: group for group in groups if len(group.variables) == 1}
    if not 1 <= len(alone) <= 2:
        raise ValueError(f"variables={list(alone)}: a search by blocks is for one or two variables")
    where = range(model.n_layers) if layers is None else layers
    found = {
        name: [b for layer in where for b in _tried(model, group, layer)] for name, group in alone.items()
    }
    if len(found) == 1:
        return {name: (min(blocks, key=_worse).home,) for name, blocks in found.items()}
    (first, ours), (second, theirs) = found.items()
    pairs = _best_pairs(ours, theirs)
    joint = next((group for group in groups if set(group.variables) == {first, second}), None)
    if joint is not None:
        pairs.sort(
            key=lambda pair: (-_together(model, joint, dict(zip(found, pair, strict=True))), _size(pair))
        )
    return {first: (pairs[0][0].home,), second: (pairs[0][1].home,)}


def _worse(block: Block) -> tuple[float, int]:
    return -block.iia, block.stop - block.start


def _size(pair: tuple[Block, Block]) -> int:
    return sum(block.stop - block.start for block in pair)


def _best_pairs(ours: Sequence[Block], theirs: Sequence[Block]) -> list[tuple[Block, Block]]:
    """Disjoint pairs, the highest sum of IIAs first, then the fewest units."""
    one, two = (torch.tensor([list(block) for block in blocks]) for blocks in (ours, theirs))
    apart = (
        (one[:, None, 0] != two[None, :, 0])
        | (one[:, None, 2] <= two[None, :, 1])
        | (two[None, :, 2] <= one[:, None, 1])
    )
    units = (one[:, None, 2] - one[:, None, 1]) + (two[None, :, 2] - two[None, :, 1])
    value = one[:, None, 3] + two[None, :, 3] - 1e-5 * units
    value = value.masked_fill(~apart, -torch.inf).flatten()
    best = value.topk(min(TOGETHER, int(apart.sum()))).indices.tolist()
    return [(ours[i // len(theirs)], theirs[i % len(theirs)]) for i in best]


def _tried(model: StagedModel, group: InterchangeBatch, layer: int) -> list[Block]:
    """Every block of one layer, with the IIA of swapping it."""
    site = Site(layer, COMPONENT)
    point = model.point(layer, COMPONENT)
    base = model.collect(group.base, [site])[site]
    source = model.collect(group.sources[0], [site])[site]
    width = base.shape[1]
    bounds = [(start, stop) for start in range(width) for stop in range(start + 1, width + 1)]
    masks = torch.zeros(len(bounds), width, dtype=torch.bool)
    for i, (start, stop) in enumerate(bounds):
        masks[i, start:stop] = True
    right = _right(model, base, source, masks.to(base.device), group, point.stage)
    return [
        Block(layer, start, stop, float(own))
        for (start, stop), own in zip(bounds, right.tolist(), strict=True)
    ]


def _right(
    model: StagedModel,
    base: Float[Tensor, "rows width"],
    source: Float[Tensor, "rows width"],
    masks: Bool[Tensor, "blocks width"],
    group: InterchangeBatch,
    stage: int,
) -> Float[Tensor, " blocks"]:
    """Share of rows whose output is the counterfactual label, all blocks in one pass."""
    swapped = torch.where(masks[:, None], source, base)
    logits = model.run(swapped.flatten(0, 1), start=stage)
    predicted = logits.argmax(-1).view(len(masks), len(base))
    return (predicted == group.counterfactual_label).float().mean(1)


def _together(model: StagedModel, group: InterchangeBatch, blocks: Mapping[str, Block]) -> float:
    """IIA of swapping both variables."""
    order = sorted(group.variables, key=lambda name: blocks[name].layer)
    value, stage = group.base, 0
    for name in order:
        block = blocks[name]
        site, point = Site(block.layer, COMPONENT), model.point(block.layer, COMPONENT)
        value = model.run(value, start=stage, stop=point.stage).clone()
        source = model.collect(group.sources[group.source_index(name)], [site])[site]
        value[:, block.start : block.stop] = source[:, block.start : block.stop]
        stage = point.stage
    predicted = model.run(value, start=stage).argmax(-1)
    return float((predicted == group.counterfactual_label).float().mean())
