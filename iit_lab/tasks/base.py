"""What a task gives: causal models, inputs, their encoding for a network, labels."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Shaped
from matplotlib.figure import Figure
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.counterfactuals import Sampler
from iit_lab.causal.model import CausalModel, Setting
from iit_lab.tasks.listed import Listed


class Task(ABC):
    """A problem with a hypothesis about how it may be solved.

    A subclass sets `causal_model`, `variables` (what may be intervened in, in order), `n_classes` and
    `input_shape` (of one encoded example), and says how inputs are drawn and encoded. A task of few inputs
    also splits them (`part`); it sets `inputs` to all there are, `beside` to the parts that are reported
    beside `test`, or `note` to what a reader of the numbers must know if the same inputs are in every part. A
    task of prompts takes a `tokenizer`, and sets `answers` to the word of each class, for language models.
    """

    causal_model: CausalModel
    variables: tuple[str, ...]
    n_classes: int
    input_shape: tuple[int, ...]
    beside: tuple[str, ...] = ()
    note: str | None = None
    inputs: Listed | None = None
    answers: tuple[str, ...] | None = None

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Draw `n` inputs of the causal model."""

    def sample_source(self, variable: str, base: Setting, generator: torch.Generator) -> Setting:
        """Draw one source per row of `base` for an intervention on `variable`; by default independent."""
        del variable
        return self.sample(len(next(iter(base.values()))), generator)

    def part(self, name: str) -> Sampler:
        """Where the inputs of `train`, `val`, `test` or one of `beside` are drawn; by default all alike."""
        del name
        return self

    @abstractmethod
    def encode(self, setting: Setting) -> Shaped[Tensor, "batch *input"]:
        """The inputs as the network reads them."""

    def draw(self, batch: InterchangeBatch) -> Figure | None:
        """A picture of a few pairs, for a task whose inputs can be shown; None for others."""
        del batch
        return None

    def wrong(self) -> "Task | None":
        """The same problem under a causal model that is wrong on purpose, for `control=wrong_model`.

        It has as many variables as this one; None where the task has no such control.
        """
        return None
