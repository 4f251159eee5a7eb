"""Sparsity: a variable should take up little of its site."""

from typing import ClassVar

from iit_lab.objectives.base import Loss, Observed, Scalar


class Sparsity(Loss):
    """The mean share of a site that a variable takes up, where that is learned; 0 where nothing is.

    Of Boundless DAS it is the boundary (Wu et al. 2023, "Interpretability at Scale: Identifying Causal
    Mechanisms in Alpaca", section 3), of a mask its L1 norm divided by the width.
    """

    needs_size: ClassVar[bool] = True

    def __call__(self, observed: Observed) -> Scalar:
        """As in `Loss`."""
        assert observed.size is not None
        return observed.size
