"""What a subspace gives: a basis at a site, shared by the variables that live there."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn


class Subspace(nn.Module, ABC):
    """A basis at a site, with a slot of its own for each variable.

    The basis is evaluated once per step by `basis` and passed on to `swap` and `project`, so that a
    training step pays for its orthogonality once. What two variables take up is disjoint, so their swaps
    commute.

    `needs_data` asks for the site's activations on training inputs (`fit`); `anneals` says that something
    follows the progress of training (`anneal`) and must be a persistent buffer, so that a saved alignment has
    its final value.
    """

    width: int
    slots: dict[str, slice]
    needs_data: ClassVar[bool] = False
    anneals: ClassVar[bool] = False
    pyvene_kinds: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """pyvene's classes for this kind -> the arguments that make it that class; none where it has none."""

    @abstractmethod
    def basis(self) -> Any:
        """What `swap` and `project` take: a tensor, or several."""

    @abstractmethod
    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Any,
    ) -> Float[Tensor, "batch width"]:
        """A new tensor: `base`, with each variable's slot taken from its own target.

        Args:
            base: activations at the site.
            targets: per variable, the activations whose component in the variable's slot is written.
            basis: what `basis()` returned.
        """

    @abstractmethod
    def project(
        self, activation: Float[Tensor, "batch width"], basis: Any, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """Coordinates of an activation in a variable's slot."""

    @abstractmethod
    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """Unit columns that the variable takes up, each counted as wholly in or out; without gradient."""

    def size(self, variable: str) -> Float[Tensor, ""] | None:
        """Share of the site's units or directions that a variable takes up; None where it is not learned.

        Differentiable; `directions` has the same share in whole numbers.
        """
        del variable
        return None

    def anneal(self, progress: float) -> None:
        """Called before every optimiser step, if `anneals`, with the share of training that is done."""
        del progress

    def fit(self, activations: Float[Tensor, "n width"]) -> None:
        """Called once, if `needs_data`, with the site's activations on training inputs."""
        del activations

    def to_pyvene(self) -> tuple[str, dict[str, Tensor]]:
        """The class of pyvene that does the same, and its state, but for its sizes.

        Raises:
            ValueError: if there is none.
        """
        raise ValueError(f"{type(self).__name__}: pyvene's saved interventions have no such kind")

    def from_pyvene(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state of such a class."""
        del state


Rank = int | Mapping[str, int] | None
"""Dimensions per variable: the same for all, or for each its own; None leaves it to the subspace."""


def assign_slots(width: int, variables: tuple[str, ...], rank: Rank) -> dict[str, slice]:
    """Disjoint slots, one after another.

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: dimensions per variable; None shares the width equally. Of a mapping, 0 is a slot too.

    Raises:
        ValueError: if the slots do not fit.
    """
    if isinstance(rank, Mapping):
        stops = list(accumulate(rank[name] for name in variables))
        if stops[-1] > width:
            raise ValueError(f"rank={dict(rank)}: {stops[-1]} dimensions in all, the site has {width} units")
        return {name: slice(stop - rank[name], stop) for name, stop in zip(variables, stops, strict=True)}
    rank = width // len(variables) if rank is None else rank
    total = rank * len(variables)
    if rank < 1 or total > width:
        most = width // len(variables)
        shared = f" shared by {len(variables)} variables" if len(variables) > 1 else ""
        raise ValueError(f"rank={rank}: the site has {width} units{shared}, so 1 <= rank <= {most}")
    return {name: slice(i * rank, (i + 1) * rank) for i, name in enumerate(variables)}


def refuse_rank(rank: Rank, kind: str) -> None:
    """For a subspace that learns how much each variable takes up.

    Raises:
        ValueError: unless `rank` is None.
    """
    if rank is not None:
        raise ValueError(f"rank={rank}: {kind} learns how much a variable takes up, so rank must be null")
