"""Zero ablation."""

from typing import ClassVar

import torch
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.base import Write


class Zero(Write):
    """The subspace's component is removed."""

    counterfactual: ClassVar[bool] = False

    def inputs(self, batch: InterchangeBatch) -> Tensor:
        """None are needed."""
        return batch.base.new_empty((0, *batch.base.shape))

    def target(self, base: Tensor, source: Tensor | None, mean: Tensor | None) -> Tensor:
        """Zeros."""
        return torch.zeros_like(base)
