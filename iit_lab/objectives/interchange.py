"""The interchange-intervention loss, of IIT and of DAS."""

from typing import ClassVar

from torch.nn.functional import cross_entropy

from iit_lab.objectives.base import Loss, Observed, Scalar


class InterchangeLoss(Loss):
    """Cross-entropy of the intervened logits with the counterfactual label.

    Geiger et al. 2022, "Inducing Causal Structure for Interpretable Neural Networks", section 3; with a
    frozen network it is the loss of DAS (Geiger et al. 2024, section 3).
    """

    needs_counterfactual: ClassVar[bool] = True

    def __call__(self, observed: Observed) -> Scalar:
        """As in `Loss`."""
        assert observed.counterfactual is not None
        return cross_entropy(observed.counterfactual, observed.counterfactual_label)
