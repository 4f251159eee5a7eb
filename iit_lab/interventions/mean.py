"""Mean ablation."""

from typing import ClassVar

from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.base import Write


class Mean(Write):
    """The component is replaced by that of the mean activation over training inputs."""

    counterfactual: ClassVar[bool] = False
    needs_mean: ClassVar[bool] = True

    def inputs(self, batch: InterchangeBatch) -> Tensor:
        """None are needed."""
        return batch.base.new_empty((0, *batch.base.shape))

    def target(self, base: Tensor, source: Tensor | None, mean: Tensor | None) -> Tensor:
        """The site's mean activation."""
        assert mean is not None
        return mean.expand_as(base)
