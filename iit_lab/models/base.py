"""The staged-model contract: a network as a chain of stages that can start, stop, be read and be written.

Stage `s` turns its input into the input of stage `s + 1`. A run may start at any stage from a cached input
and stop before any other, so nothing is computed twice and nothing past the last site that is needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from iit_lab.sites import Site, format_units

Activation = Shaped[Tensor, "batch ..."]
Edit = Callable[[Activation], Activation]
"""What is written at a point: takes the activation there, returns the one to go on with."""
Tap = Callable[[str, Activation], Activation]
"""What a stage passes its inner components through, by name."""


class Point(NamedTuple):
    """Where in the chain of stages an activation is; a tuple, so that looking it up costs next to nothing.

    Args:
        stage: index of a stage.
        component: an activation within that stage; empty for the stage's input, which is the output of the
            stage before it.
    """

    stage: int
    component: str = ""


class StagedModel(nn.Module, ABC):
    """A network that runs stage by stage.

    A backend says how many stages and layers it has, what its components are and where, and how one stage
    is run; reading and writing of sites is here. `splits` says that an example is work enough for several
    threads, however few the weights.
    """

    splits: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._indices: dict[tuple[Site, torch.device], slice | Tensor] = {}

    @property
    @abstractmethod
    def n_stages(self) -> int:
        """How many stages the chain has."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """How many layers a site can name."""

    @abstractmethod
    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """Components of a layer and the shapes of their activations, without the batch dimension."""

    @abstractmethod
    def point(self, layer: int, component: str) -> Point:
        """Where a component of a layer stands in the chain."""

    @abstractmethod
    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Activation:
        """Run one stage, passing each of its inner components through `tap(component, activation)`."""

    def forward(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Logits without intervention."""
        return self.run(inputs)

    def run(
        self,
        value: Shaped[Tensor, "batch ..."],
        edits: Mapping[Point, Edit] | None = None,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Activation:
        """Run stages `start` to `stop`, with edits in place.

        Args:
            value: the network's input, or the cached input of stage `start`.
            edits: what to write where; an edit at a stage's input is applied before the stage runs, at
                `stop` too.
            start: first stage to run.
            stop: stage whose input is returned; None runs to the logits.
        """
        end = self.n_stages if stop is None else stop
        if not edits:
            for stage in range(start, end):
                value = self.run_stage(stage, value, pass_on)
            return value

        def tap(component: str, activation: Activation) -> Activation:
            edit = edits.get(Point(stage, component))
            return activation if edit is None else edit(activation)

        for stage in range(start, end):
            if edit := edits.get(Point(stage)):
                value = edit(value)
            value = self.run_stage(stage, value, tap)
        if edit := edits.get(Point(end)):
            value = edit(value)
        return value

    def collect(
        self, value: Shaped[Tensor, "batch ..."], sites: Iterable[Site], *, start: int = 0
    ) -> dict[Site, Float[Tensor, "batch width"]]:
        """Activations at `sites`; stops at the deepest of them.

        Args:
            value: the network's input, or the cached input of stage `start`.
            sites: what to read.
            start: first stage to run.

        Raises:
            ValueError: if a site lies before `start`.
        """
        sites = tuple(sites)
        collected: dict[Site, Tensor] = {}
        readers: dict[Point, Edit] = {}
        for point in {self.point(site.layer, site.component) for site in sites}:
            here = [site for site in sites if self.point(site.layer, site.component) == point]

            def read(activation: Activation, here: Sequence[Site] = tuple(here)) -> Activation:
                collected.update({site: self.read(activation, site) for site in here})
                return activation

            readers[point] = read
        if min(readers) < Point(start):
            raise ValueError(f"start={start}: a site lies before that stage, at {min(readers)}")
        deepest = max(readers)
        self.run(value, readers, start=start, stop=deepest.stage + bool(deepest.component))
        return collected

    def check(self, site: Site) -> None:
        """Make sure that a site exists.

        Raises:
            ValueError: naming the part that does not, and what would be valid.
        """
        if not 0 <= site.layer < self.n_layers:
            raise ValueError(f"layer={site.layer}: {self.describe()} has layers 0..{self.n_layers - 1}")
        shapes = self.shapes(site.layer)
        if site.component not in shapes:
            raise ValueError(
                f"component={site.component}: layer {site.layer} of {self.describe()} has {sorted(shapes)}"
            )
        shape = shapes[site.component]
        axes = (("position", site.positions, 0), ("heads", site.heads, -2), ("units", site.units, -1))
        if len(shape) == 1 and site.positions is not None:
            raise ValueError(f"position={format_units(site.positions)}: {self.describe()} has no positions")
        for name, index, axis in axes:
            if index is None:
                continue
            if len(shape) < (3 if name == "heads" else 1):
                raise ValueError(f"{name}={format_units(index)}: {site.component} has no {name}")
            if max(index) >= shape[axis]:
                where = f"layer {site.layer} {site.component} of {self.describe()}"
                raise ValueError(f"{name}={format_units(index)}: {where} has {name} 0..{shape[axis] - 1}")

    def width(self, site: Site) -> int:
        """Units of a site, flattened."""
        index = self.flat_index(site)
        return self._size(site) if index is None else len(index)

    def _size(self, site: Site) -> int:
        return int(torch.Size(self.shapes(site.layer)[site.component]).numel())

    def flat_index(self, site: Site) -> Int[Tensor, " width"] | None:
        """Which entries of the flattened activation belong to a site; None for all of them."""
        parts = {-1: site.units}
        shape = self.shapes(site.layer)[site.component]
        parts[0] = site.positions if len(shape) > 1 else None
        parts[-2] = site.heads
        if all(index is None for index in parts.values()):
            return None
        grid = torch.arange(self._size(site)).view(shape)
        for axis, index in parts.items():
            if index is not None:
                grid = grid.index_select(axis, torch.tensor(index))
        return grid.flatten()

    def _where(self, site: Site, device: torch.device) -> slice | Tensor | None:
        """`flat_index` as a slice if it is one, which is read and written faster."""
        if (site.positions, site.heads, site.units) == (None, None, None):
            return None
        cache = self._indices
        if (site, device) not in cache:
            index = self.flat_index(site)
            assert index is not None
            run = bool((index.diff() == 1).all())
            cache[site, device] = slice(int(index[0]), int(index[-1]) + 1) if run else index.to(device)
        return cache[site, device]

    def read(self, activation: Activation, site: Site) -> Float[Tensor, "batch width"]:
        """A site's units, as one vector per example."""
        where = self._where(site, activation.device)
        flat = activation if activation.ndim == 2 else activation.flatten(1)
        if where is None:
            return flat
        return flat[:, where] if isinstance(where, slice) else flat.index_select(1, where)

    def write(self, activation: Activation, site: Site, values: Float[Tensor, "batch width"]) -> Activation:
        """A new activation with a site's units replaced; the one given stays as it is."""
        where = self._where(site, activation.device)
        flat = activation if activation.ndim == 2 else activation.flatten(1)
        if isinstance(where, slice):
            values = flat.slice_scatter(values, 1, where.start, where.stop)
        elif where is not None:
            values = flat.index_copy(1, where, values)
        return values if activation.ndim == 2 else values.view_as(activation)

    def sites(self) -> list[Site]:
        """Every whole site of the network, first layer first."""
        return [Site(layer, name) for layer in range(self.n_layers) for name in self.shapes(layer)]

    def resolve(self, site: Site) -> Site:
        """The same site; units that name all of them in order become None: equal places compare equal."""
        shape = self.shapes(site.layer)[site.component]
        if site.units == tuple(range(shape[-1])):
            site = replace(site, units=None)
        return site

    @abstractmethod
    def describe(self) -> str:
        """A short name for messages, such as `mlp 16-16-16`."""


def pass_on(component: str, activation: Activation) -> Activation:
    """The tap of a run without edits."""
    del component
    return activation
