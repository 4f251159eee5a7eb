"""Adversarial IIT: an adversary's interchange, elsewhere in the network, should not predict the label."""

from typing import ClassVar

from torch.nn.functional import cross_entropy

from iit_lab.objectives.base import Loss, Observed, Scalar


class Resistance(Loss):
    """What the adversary's cross-entropy lacks to `cutoff`; 0 once it is that bad.

    As AmirZur/ellipse trains against its adversary, whose loss counts up to 0.5. A bound keeps the network
    from making the adversary's answers wrong with certainty, which would be knowledge of the variable too.

    Args:
        cutoff: in nats; an adversary that guesses between two classes has 0.69.

    Raises:
        ValueError: unless it is above 0.
    """

    needs_counterfactual: ClassVar[bool] = True
    needs_adversary: ClassVar[bool] = True

    def __init__(self, cutoff: float = 0.5) -> None:
        if cutoff <= 0:
            raise ValueError(f"cutoff={cutoff}: must be above 0")
        self.cutoff = cutoff

    def __call__(self, observed: Observed) -> Scalar:
        """Averaged over the batch before it is bounded."""
        assert observed.adversary is not None
        return (self.cutoff - cross_entropy(observed.adversary, observed.counterfactual_label)).relu()
