"""Subspaces with a temperature that falls as training goes on."""

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

import torch

from iit_lab.subspaces.base import Subspace


class Annealed(Subspace, ABC):
    r"""A subspace whose soft choices harden.

    Its temperature falls linearly and then stays,

    $$T(p) = (1 - q)\,T_0 + q\,T_1, \qquad q = \min(p / u, 1),$$

    with $p$ the share of training that is done and $u$ = `until`.

    Args:
        temperature: the first and the last.
        until: share of training after which it has its last value.

    Raises:
        ValueError: if a temperature is not above 0, or `until` not in (0, 1].
    """

    anneals: ClassVar[bool] = True

    def __init__(self, temperature: Sequence[float], until: float) -> None:
        super().__init__()
        if len(temperature) != 2 or min(temperature) <= 0:
            raise ValueError(f"temperature={list(temperature)}: the first and the last, both above 0")
        if not 0 < until <= 1:
            raise ValueError(f"until={until}: a share of training, above 0 and at most 1")
        self.first, self.last = temperature
        self.until = until
        self.register_buffer("temperature", torch.tensor(float(self.first)))

    def anneal(self, progress: float) -> None:
        """Set the temperature for this much of training."""
        share = min(progress / self.until, 1.0)
        self.get_buffer("temperature").fill_((1 - share) * self.first + share * self.last)
