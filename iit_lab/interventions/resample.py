"""Resample ablation."""

from typing import ClassVar

from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.base import Write


class Resample(Write):
    """The component is taken from another input of the same distribution: the batch's next row.

    Chan et al. 2022, "Causal Scrubbing", section 2: rows of a batch are independent draws, so the next one
    is a random other input, and the same batch always gives the same numbers.
    """

    counterfactual: ClassVar[bool] = False

    def inputs(self, batch: InterchangeBatch) -> Tensor:
        """The bases, each row moved by one."""
        return batch.base.roll(1, 0).unsqueeze(0)

    def target(self, base: Tensor, source: Tensor | None, mean: Tensor | None) -> Tensor:
        """The other input's activation."""
        assert source is not None
        return source
