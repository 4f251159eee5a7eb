"""What a training step sees: encoded bases and sources with their labels."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class InterchangeBatch:
    """Bases, sources and labels, encoded for a network; all rows intervene on the same variables.

    Args:
        base: network inputs.
        sources: one input per row and variable, in the order of `variables`; or a single one (first
            dimension 1) that all variables share; or none (first dimension 0).
        variables: what is fixed; empty for behaviour alone.
        intervened: which row fixes which variable; None means every row fixes them all.
        base_label: class index on the base.
        counterfactual_label: class index under the interchange.
    """

    base: Shaped[Tensor, "batch *input"]
    sources: Shaped[Tensor, "sources batch *input"]
    variables: tuple[str, ...]
    intervened: Bool[Tensor, "batch variables"] | None
    base_label: Int[Tensor, " batch"]
    counterfactual_label: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.base)

    @property
    def name(self) -> str:
        """The intervened variables, as metrics call them: `left_equality+right_equality`."""
        return "+".join(self.variables)

    def source_index(self, variable: str) -> int:
        """Which of `sources` belongs to `variable`."""
        return 0 if self.sources.shape[0] == 1 else self.variables.index(variable)

    def rows(self, index: Int[Tensor, " picked"] | slice) -> "InterchangeBatch":
        """The rows at `index`, in its order."""
        return replace(
            self,
            base=self.base[index],
            sources=self.sources[:, index],
            intervened=None if self.intervened is None else self.intervened[index],
            base_label=self.base_label[index],
            counterfactual_label=self.counterfactual_label[index],
        )

    def to(self, device: torch.device) -> "InterchangeBatch":
        """The same batch on another device."""
        return replace(
            self,
            base=self.base.to(device),
            sources=self.sources.to(device),
            intervened=None if self.intervened is None else self.intervened.to(device),
            base_label=self.base_label.to(device),
            counterfactual_label=self.counterfactual_label.to(device),
        )


@dataclass(frozen=True)
class Outputs:
    """What a network said on a batch; None where an objective does not need it.

    Args:
        base: logits without intervention.
        counterfactual: logits under the intervention.
    """

    base: Float[Tensor, "batch classes"] | None
    counterfactual: Float[Tensor, "batch classes"] | None
