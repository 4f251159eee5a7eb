"""What a subspace gives: a basis at a site, shared by the variables that live there."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn


class Subspace(nn.Module, ABC):
    """A basis at a site, with a slot of its own for each variable.

    The basis is evaluated once per step by `basis` and passed on to `swap` and `project`, so that a
    training step pays for its orthogonality once. Slots are disjoint, so swaps of several variables commute.
    """

    width: int
    slots: dict[str, slice]

    @abstractmethod
    def basis(self) -> Tensor:
        """The basis that `swap` and `project` take."""

    @abstractmethod
    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Tensor,
    ) -> Float[Tensor, "batch width"]:
        """A new tensor: `base`, with each variable's slot taken from its own target.

        Args:
            base: activations at the site.
            targets: per variable, the activations whose component in the variable's slot is written.
            basis: what `basis()` returned.
        """

    @abstractmethod
    def project(
        self, activation: Float[Tensor, "batch width"], basis: Tensor, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """Coordinates of an activation in a variable's slot."""


def assign_slots(width: int, variables: tuple[str, ...], rank: int | None) -> dict[str, slice]:
    """Disjoint slots of `rank` dimensions each, one after another.

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: dimensions per variable; None shares the width equally.

    Raises:
        ValueError: if the slots do not fit.
    """
    rank = width // len(variables) if rank is None else rank
    total = rank * len(variables)
    if rank < 1 or total > width:
        most = width // len(variables)
        shared = f" shared by {len(variables)} variables" if len(variables) > 1 else ""
        raise ValueError(f"rank={rank}: the site has {width} units{shared}, so 1 <= rank <= {most}")
    return {name: slice(i * rank, (i + 1) * rank) for i, name in enumerate(variables)}
