"""What a loss gives, and the weighted sum of several."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor

Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class Observed:
    """What a loss may look at.

    Args:
        base: logits without intervention; None where no loss needs them.
        counterfactual: logits under the interchange; None likewise.
        base_label: classes the base should have.
        counterfactual_label: classes the causal model predicts.
        size: share of their sites that the variables take up, where that is learned; None where no loss
            needs it.
        adversary: logits under an adversary's interchange; None where there is none.
    """

    base: Float[Tensor, "batch classes"] | None
    counterfactual: Float[Tensor, "batch classes"] | None
    base_label: Int[Tensor, " batch"]
    counterfactual_label: Int[Tensor, " batch"]
    size: Scalar | None = None
    adversary: Float[Tensor, "batch classes"] | None = None


class Loss(ABC):
    """One term of an objective. The flags say what it looks at, so that nothing else is computed."""

    needs_base: ClassVar[bool] = False
    needs_counterfactual: ClassVar[bool] = False
    needs_size: ClassVar[bool] = False
    needs_adversary: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, observed: Observed) -> Scalar:
        """The loss, averaged over the batch."""


@dataclass(frozen=True)
class Term:
    """A loss and its weight.

    Raises:
        ValueError: for a negative weight.
    """

    loss: Loss
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"weight={self.weight}: a weight is 0 or more")


class Objective:
    """A weighted sum of losses.

    Args:
        terms: losses by the name they are logged under; a term of weight 0 is left out altogether.
        source_grad: whether gradients flow through the source run (IIT: yes; no difference to DAS, whose
            network is frozen).
        adversary: builds who looks for the variables elsewhere (`training.adversary`), while a term needs it
            and when the trained network is evaluated; None for nobody.

    Raises:
        ValueError: if no term has a weight above 0, or one needs an adversary that is not there.
    """

    def __init__(
        self,
        terms: Mapping[str, Term],
        source_grad: bool = True,
        adversary: Callable[..., Any] | None = None,
    ) -> None:
        self.terms = {name: term for name, term in terms.items() if term.weight > 0}
        if not self.terms:
            raise ValueError(f"terms={list(terms)}: none has a weight above 0")
        self.source_grad, self.adversary = source_grad, adversary
        self.needs_adversary = any(term.loss.needs_adversary for term in self.terms.values())
        if self.needs_adversary and adversary is None:
            raise ValueError("adversary=null: a term needs one; use objective=iit_adversarial")
        self.needs_base = any(term.loss.needs_base for term in self.terms.values())
        self.needs_counterfactual = any(term.loss.needs_counterfactual for term in self.terms.values())
        self.needs_size = any(term.loss.needs_size for term in self.terms.values())

    def of_frozen(self) -> "Objective":
        """The same for a network that is not trained, where no adversary can be resisted."""
        kept = {name: term for name, term in self.terms.items() if not term.loss.needs_adversary}
        return Objective(kept, self.source_grad)

    def __call__(self, observed: Observed) -> dict[str, Scalar]:
        """Every term by name, unweighted, and their weighted sum as `loss`."""
        values = {name: term.loss(observed) for name, term in self.terms.items()}
        weighted = [
            values[name] if term.weight == 1 else term.weight * values[name]
            for name, term in self.terms.items()
        ]
        return {**values, "loss": sum(weighted[1:], start=weighted[0])}
