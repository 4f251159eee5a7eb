"""What a training step is here, and this package's own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor
from torch.optim import Optimizer

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import finish, prefix
from iit_lab.objectives.base import Observed
from iit_lab.training.module import InterchangeModule


class Step(ABC):
    """A way of training something on base/source pairs; `optimizer` says what is trained."""

    optimizer: Optimizer

    @abstractmethod
    def loss(self, batch: InterchangeBatch) -> Tensor:
        """What is minimised."""

    def __call__(self, batch: InterchangeBatch) -> None:
        """One whole step."""
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        self.optimizer.step()

    def each(self, batches: Sequence[InterchangeBatch]) -> None:
        """One step per batch."""
        for batch in batches:
            self(batch)


class Ours(Step):
    """What `iit-lab` does for one batch, as `InterchangeModule.training_step` does it."""

    def __init__(self, module: InterchangeModule) -> None:
        self.module = module
        self.optimizer = module.configure_optimizers()

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """The weighted sum of the objective's terms."""
        return self.module.losses(batch)["loss"]


class OursCached(Ours):
    """The same from cached activations: what comes before the site is computed once per batch."""

    def __init__(self, module: InterchangeModule, batches: Sequence[InterchangeBatch]) -> None:
        super().__init__(module)
        self.prefixes = {id(batch): prefix(module.model, module.intervention, batch) for batch in batches}

    def loss(self, batch: InterchangeBatch) -> Tensor:
        """From the site on."""
        module = self.module
        outputs = finish(module.model, module.intervention, batch, self.prefixes[id(batch)])
        labels = batch.base_label, batch.counterfactual_label
        return module.objective(Observed(outputs.base, outputs.counterfactual, *labels))["loss"]


def check_same(steps: Sequence[Step], batches: Sequence[InterchangeBatch], tolerance: float = 1e-4) -> None:
    """Make sure that all of `steps`, not yet trained, compute the same losses.

    Raises:
        SystemExit: if they do not; comparing their times would mean nothing.
    """
    for batch in batches:
        losses = [step.loss(batch).item() for step in steps]
        if max(losses) - min(losses) > tolerance:
            raise SystemExit(f"not the same computation: {batch.name} has losses {losses}")
