"""Behaviour: the network should solve the task."""

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import cross_entropy

from iit_lab.objectives.base import Loss, Scalar


class Behaviour(Loss):
    """Cross-entropy of the un-intervened logits with the base label."""

    needs_base: ClassVar[bool] = True
    needs_counterfactual: ClassVar[bool] = False

    def __call__(
        self,
        base: Tensor | None,
        counterfactual: Tensor | None,
        base_label: Tensor,
        counterfactual_label: Tensor,
    ) -> Scalar:
        """As in `Loss`."""
        assert base is not None
        return cross_entropy(base, base_label)
