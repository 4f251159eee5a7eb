"""What a task gives: causal models, inputs, their encoding for a network, labels."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Shaped
from torch import Tensor

from iit_lab.causal.model import CausalModel, Setting


class Task(ABC):
    """A problem with a hypothesis about how it may be solved.

    A subclass sets `causal_model`, `variables` (what may be intervened in, in order), `n_classes` and
    `input_shape` (of one encoded example), and says how inputs are drawn and encoded.
    """

    causal_model: CausalModel
    variables: tuple[str, ...]
    n_classes: int
    input_shape: tuple[int, ...]

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Draw `n` inputs of the causal model."""

    def sample_source(self, variable: str, base: Setting, generator: torch.Generator) -> Setting:
        """Draw one source per row of `base` for an intervention on `variable`; by default independent."""
        del variable
        return self.sample(len(next(iter(base.values()))), generator)

    @abstractmethod
    def encode(self, setting: Setting) -> Shaped[Tensor, "batch *input"]:
        """The inputs as the network reads them."""

    def wrong(self) -> "Task | None":
        """The same problem under a causal model that is wrong on purpose, for `control=wrong_model`.

        It has as many variables as this one; None where the task has no such control.
        """
        return None
