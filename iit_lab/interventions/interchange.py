"""Interchange: the activation that the site has on a source."""

from typing import ClassVar

from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.base import Write


class Interchange(Write):
    """Geiger et al. 2021, "Causal Abstractions of Neural Networks", section 2."""

    counterfactual: ClassVar[bool] = True

    def inputs(self, batch: InterchangeBatch) -> Tensor:
        """The batch's sources."""
        return batch.sources

    def target(self, base: Tensor, source: Tensor | None, mean: Tensor | None) -> Tensor:
        """The source's activation."""
        assert source is not None
        return source
