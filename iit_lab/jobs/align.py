"""`job=align`: find where variables live in a frozen network (distributed alignment search)."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from iit_lab.config import ConfigError
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs import controls
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import load_network
from iit_lab.jobs.fit import Fit
from iit_lab.jobs.networks import obtain
from iit_lab.jobs.release import save_alignment, save_causal_model
from iit_lab.jobs.session import Problem, Session
from iit_lab.models.base import StagedModel


@dataclass(frozen=True)
class Align(Fit):
    """Train subspaces of a frozen network; one without anything to train is evaluated as it is.

    Args:
        min_accuracy: refuse a network that solves the task less often; None for any (keys of `Fit` besides).
    """

    min_accuracy: float | None = None

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
