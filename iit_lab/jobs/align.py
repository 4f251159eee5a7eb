"""`job=align`: find where variables live in a frozen network (distributed alignment search)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from iit_lab.config import ConfigError
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs import controls
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import load_network
from iit_lab.jobs.cells import is_grid
from iit_lab.jobs.fit import Fit
from iit_lab.jobs.layers import align_all, all_cells
from iit_lab.jobs.networks import obtain
from iit_lab.jobs.release import save_alignment, save_causal_model
from iit_lab.jobs.session import Problem, Session
from iit_lab.models.base import StagedModel


@dataclass(frozen=True)
class Align(Fit):
    """Train subspaces of a frozen network; one without anything to train is evaluated as it is.

    Args:
        min_accuracy: refuse a network that solves the task less often; None for any (keys of `Fit` besides).
        budget: which of `budgets` the experiment's other keys refer to.
        budgets: sizes of a fit, by name.
    """

    min_accuracy: float | None = None
    budget: str | None = None
    budgets: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, run: Run) -> None:
        """Build everything once; of a grid, its first cell."""
        super().prepare(all_cells(run)[0] if is_grid(run) else run)

    def spreads(self, run: Run) -> bool:
        """A grid's cells are spread over devices, a single alignment's batches are shared."""
        return is_grid(run)

    def perform(self, run: Run) -> Outcome:
        """Align; every cell of a grid."""
        return align_all(self, run) if is_grid(run) else super().perform(run)

    def trains_network(self, config: DictConfig) -> bool:
        """Never."""
        return False

    def load_weights(self, run: Run, model: StagedModel) -> Path | None:
        """Those of `model.weights`; else of the network that `requires` describes; else the initial ones."""
        if run.config.model.weights is not None:
            return load_network(model, run.config.model.weights, "model.weights")
        if "network" in run.config.requires:
            return load_network(model, obtain(run, "network"), "requires.network")
        return None

    def check(self, run: Run, problem: Problem, session: Session) -> None:
        """A network that does not solve the task has nothing to align.

        Raises:
            ConfigError: if its accuracy on the test inputs is below `min_accuracy`.
        """
        small = run.config.limit.steps is not None
        if self.min_accuracy is None or small or controls.names(run.config.control) == ["untrained"]:
            return
        accuracy = session.evaluate(problem, None).metrics["accuracy"]
        if accuracy < self.min_accuracy:
            raise ConfigError(
                f"job.min_accuracy={self.min_accuracy}: the network solves {accuracy:.3f} of the test "
                "inputs; train it further, or lower the bound"
            )

    def finish(
        self, run: Run, problem: Problem, session: Session, intervention: Intervention | None
    ) -> Outcome:
        """Save the alignment."""
        outcome = Outcome({})
        if intervention is not None:
            outcome.files |= save_alignment(run, intervention)
            outcome.files |= save_causal_model(run, problem.task.causal_model, tuple(problem.alignment))
        return outcome
