"""Drawing alignments at random: where variables may live in a network, counted and sampled uniformly."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.alignment.placements import Placement, Rotated
from iit_lab.models.base import StagedModel
from iit_lab.sites import Site

COMPONENT = "block_output"
LAST, FEW = "last hidden layer", "too few units"


@dataclass(frozen=True)
class Home:
    """Where one variable lives.

    Args:
        layer: 0-based.
        units: of the layer's output; with `basis`, empty.
        basis: orthonormal columns over the whole layer; None for units as they are.
        position: token whose activation it is; None where a layer has no positions.
    """

    layer: int
    units: tuple[int, ...]
    basis: Float[Tensor, "width rank"] | None = None
    position: int | None = None

    @property
    def site(self) -> Site:
        """The whole activation of which it is a part."""
        return Site(self.layer, COMPONENT, None if self.position is None else (self.position,))

    @property
    def size(self) -> int:
        """Dimensions."""
        return len(self.units) if self.basis is None else self.basis.shape[1]

    def directions(self, width: int) -> Float[Tensor, "width rank"]:
        """Orthonormal columns over the whole layer."""
        return torch.eye(width)[:, list(self.units)] if self.basis is None else self.basis


@dataclass(frozen=True)
class Sampled:
    """An alignment that was drawn.

    Args:
        kind: of placement.
        homes: by variable.
        control: why interchange intervention training is not expected to reach it; None if it is.
    """

    kind: str
    homes: Mapping[str, Home]
    control: str | None = None


@dataclass(frozen=True)
class _Cell:
    kind: str
    layers: tuple[int, ...]
    sizes: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class AlignmentSpace:
    """All alignments of some variables to disjoint parts of a network's hidden layers.

    After the last hidden layer the logits are a sum over disjoint units, which no "are both the same?" is;
    few units of the first layer cannot hold a relation of inputs. Alignments there are labelled as controls,
    and left out unless asked for.

    Args:
        model: whose hidden layers have one shape of output.
        variables: who is to be placed.
        kinds: placements by name.
        layers: which hidden layers; None for all.
        position: token at which all variables are placed; None for a network without positions.
        sizes: dimensions that a variable may have; None for any.
        across: whether variables may live in different layers.
        least: fewest dimensions with which a layer is realisable.
        additive: whether the logits are a sum over the units of the last hidden layer.
        controls: whether those that are not realisable belong to the space.
        even: draw as many of each kind in one layer, and of each kind in several, as of any other; otherwise
            all alignments are equally likely, nearly all of which are scattered in several layers.

    Raises:
        ValueError: for a layer that is not hidden, or a space without alignments.
    """

    model: StagedModel
    variables: Sequence[str]
    kinds: Mapping[str, Placement]
    layers: Sequence[int] | None = None
    position: int | None = None
    sizes: Sequence[int] | None = None
    across: bool = False
    least: Mapping[int, int] = field(default_factory=dict)
    additive: bool = True
    controls: bool = False
    even: bool = False

    def __post_init__(self) -> None:
        wrong = [layer for layer in self._layers if not 0 <= layer < self.model.n_layers]
        if wrong:
            raise ValueError(
                f"layers={wrong}: {self.model.describe()} has hidden layers 0..{self.model.n_layers - 1}; "
                "inputs and outputs are no sites"
            )
        check_home(self.model, Home(0, (), position=self.position))
        if not self.kinds or self.count == 0:
            raise ValueError(f"kinds={list(self.kinds)}: no alignment of them fits these layers and sizes")

    @property
    def _layers(self) -> list[int]:
        return list(range(self.model.n_layers)) if self.layers is None else list(self.layers)

    @property
    def count(self) -> int:
        """How many alignments there are; of rotated ones, how many choices of layers and sizes."""
        return sum(cell.count for cell in self._cells())

    def control(self, layers: Sequence[int], sizes: Sequence[int]) -> str | None:
        """Why variables of these sizes in these layers are not realisable; None if they are."""
        if self.additive and any(layer == self.model.n_layers - 1 for layer in layers):
            return LAST
        few = any(size < self.least.get(layer, 1) for layer, size in zip(layers, sizes, strict=True))
        return FEW if few else None

    def _cells(self) -> list[_Cell]:
        cells = []
        for layers in product(self._layers, repeat=len(self.variables)):
            if len(set(layers)) > 1 and not self.across:
                continue
            widths = [self._width(layer) for layer in layers]
            choices = [self.sizes or range(1, width + 1) for width in widths]
            for kind, sizes in product(self.kinds, product(*choices)):
                count = 1
                for group in _groups(layers):
                    own = [sizes[i] for i in group]
                    fits = sum(own) <= widths[group[0]]
                    count *= self.kinds[kind].count(widths[group[0]], own) if fits else 0
                if count and (self.controls or self.control(layers, sizes) is None):
                    cells.append(_Cell(kind, layers, sizes, count))
        return cells

    def _width(self, layer: int) -> int:
        return self.model.width(Home(layer, (), position=self.position).site)

    def at(self, number: int, generator: torch.Generator) -> Sampled:
        """The alignment of that number, from 0 to the count.

        Args:
            number: which.
            generator: of the bases of rotated ones.

        Raises:
            IndexError: beyond the last one.
        """
        return self._at(self._cells(), number, generator)

    def _at(self, cells: Sequence[_Cell], number: int, generator: torch.Generator) -> Sampled:
        for cell in cells:
            if number < cell.count:
                return self._place(cell, number, generator)
            number -= cell.count
        raise IndexError(number)

    def _place(self, cell: _Cell, number: int, generator: torch.Generator) -> Sampled:
        kind = self.kinds[cell.kind]
        homes: dict[str, Home] = {}
        for group in _groups(cell.layers):
            layer = cell.layers[group[0]]
            width, sizes = self._width(layer), [cell.sizes[i] for i in group]
            number, own = divmod(number, kind.count(width, sizes))
            placed = kind.at(width, sizes, own)
            basis = _orthonormal(width, sum(sizes), generator) if isinstance(kind, Rotated) else None
            for i, units in zip(group, placed, strict=True):
                name = self.variables[i]
                if basis is None:
                    homes[name] = Home(layer, units, position=self.position)
                else:
                    homes[name] = Home(layer, (), basis[:, list(units)], self.position)
        ordered = {name: homes[name] for name in self.variables}
        return Sampled(cell.kind, ordered, self.control(cell.layers, cell.sizes))

    def sample(self, n: int, seed: int) -> list[Sampled]:
        """Draw `n` different alignments, each set of them equally likely; with `even`, within its stratum.

        Raises:
            ValueError: if there are fewer.
        """
        if not 0 < n <= self.count:
            raise ValueError(f"n={n}: there are {self.count} alignments")
        draw, strata = random.Random(seed), self._strata()
        counts = [sum(cell.count for cell in cells) for cells in strata]
        drawn: list[dict[int, None]] = [{} for _ in strata]
        order = []
        while len(order) < n:
            for which, (numbers, count) in enumerate(zip(drawn, counts, strict=True)):
                if len(order) == n or len(numbers) == count:
                    continue
                before = len(numbers)
                while len(numbers) == before:
                    numbers[draw.randrange(count)] = None
                order.append((which, next(reversed(numbers))))
        generator = torch.Generator().manual_seed(draw.randrange(2**63))
        return [self._at(strata[i], number, generator) for i, number in order]

    def _strata(self) -> list[list[_Cell]]:
        """What is drawn from in turn."""
        cells = self._cells()
        if not self.even:
            return [cells]
        strata: dict[tuple[str, bool], list[_Cell]] = {}
        for cell in cells:
            strata.setdefault((cell.kind, len(set(cell.layers)) > 1), []).append(cell)
        return list(strata.values())


def check_home(model: StagedModel, home: Home) -> None:
    """Make sure that a network has this layer and position, and that a position is named where it has some.

    Raises:
        ValueError: saying which there are.
    """
    model.check(home.site)
    positions, *units = model.shapes(home.layer)[COMPONENT]
    if home.position is None and units:
        raise ValueError(f"position=null: {model.describe()} has positions 0..{positions - 1}; name one")


def _groups(layers: Sequence[int]) -> list[list[int]]:
    """Indices of the variables in each layer."""
    return [[i for i, layer in enumerate(layers) if layer == own] for own in dict.fromkeys(layers)]


def _orthonormal(width: int, rank: int, generator: torch.Generator) -> Float[Tensor, "width rank"]:
    return torch.linalg.qr(torch.randn(width, rank, generator=generator)).Q
