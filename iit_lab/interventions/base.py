"""What is written at a site: a target activation, whose component in the subspace replaces the base's."""

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float, Shaped
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch


class Write(ABC):
    """One kind of intervention, apart from the basis it is done in.

    `counterfactual` says whether the causal model predicts what comes out; if not, this is an ablation, and
    its effect on the output is what is reported. `needs_mean` asks for the site's mean activation.
    """

    counterfactual: ClassVar[bool]
    needs_mean: ClassVar[bool] = False

    @abstractmethod
    def inputs(self, batch: InterchangeBatch) -> Shaped[Tensor, "sources batch *input"]:
        """Inputs whose activations the write needs; first dimension 0 if none."""

    @abstractmethod
    def target(
        self,
        base: Float[Tensor, "batch width"],
        source: Float[Tensor, "batch width"] | None,
        mean: Float[Tensor, " width"] | None,
    ) -> Float[Tensor, "batch width"]:
        """The activation to write.

        Args:
            base: what is there.
            source: the site's activation on the variable's entry of `inputs`.
            mean: the site's mean activation.
        """
