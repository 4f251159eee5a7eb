"""Inputs that can be listed: few enough to split, to draw evenly and to encode once."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from iit_lab.causal.model import Setting


@dataclass(frozen=True)
class Listed:
    """A sampler of a list of inputs that draws each of them equally often, give or take one.

    Args:
        setting: the inputs, one row each.
    """

    setting: Setting

    def __len__(self) -> int:
        return len(next(iter(self.setting.values())))

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Shuffles of the whole list, one after another, `n` rows in all."""
        rounds = -(-n // len(self))
        rows = torch.cat([torch.randperm(len(self), generator=generator) for _ in range(rounds)])[:n]
        return {name: value[rows] for name, value in self.setting.items()}

    def sample_source(self, variable: str, base: Setting, generator: torch.Generator) -> Setting:
        """Independent of the base."""
        del variable
        return self.sample(len(next(iter(base.values()))), generator)

    def rows(self, index: Int[Tensor, " picked"]) -> "Listed":
        """Some of the inputs."""
        return Listed({name: value[index] for name, value in self.setting.items()})


def split(inputs: Listed, shares: dict[str, float], generator: torch.Generator) -> dict[str, Listed]:
    """Disjoint parts of a list, by name; the last one gets what rounding leaves.

    Args:
        inputs: the list.
        shares: of the list, adding up to 1.
        generator: who goes where.

    Raises:
        ValueError: if a part would be empty.
    """
    order = torch.randperm(len(inputs), generator=generator)
    sizes = [round(share * len(inputs)) for share in list(shares.values())[:-1]]
    sizes.append(len(inputs) - sum(sizes))
    if min(sizes) < 1:
        raise ValueError(f"shares={shares}: a part of {len(inputs)} inputs would be empty")
    return {name: inputs.rows(rows) for name, rows in zip(shares, order.split(sizes), strict=True)}
