"""Behaviour: the network should solve the task."""

from typing import ClassVar

from torch.nn.functional import cross_entropy

from iit_lab.objectives.base import Loss, Observed, Scalar


class Behaviour(Loss):
    """Cross-entropy of the un-intervened logits with the base label."""

    needs_base: ClassVar[bool] = True

    def __call__(self, observed: Observed) -> Scalar:
        """As in `Loss`."""
        assert observed.base is not None
        return cross_entropy(observed.base, observed.base_label)
