"""`job=train`: interchange intervention training, or training on behaviour alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import build_adversary, load_network
from iit_lab.jobs.fit import Fit, check_layers
from iit_lab.jobs.release import save_alignment, save_causal_model, save_examples, save_network
from iit_lab.jobs.reporting import log_report
from iit_lab.jobs.session import Problem, Session
from iit_lab.models.base import StagedModel


@dataclass(frozen=True)
class Train(Fit):
    """Train a network; with it the alignment's subspaces, where they are trainable.

    Args:
        elsewhere: other layers at which the same alignment is scored too (keys of `Fit` besides). A
            trainable subspace is fitted there anew, to the trained network.
    """

    elsewhere: Sequence[int] = ()

    def trains_network(self, config: DictConfig) -> bool:
        """As `model.trainable` says."""
        return config.model.trainable

    def load_weights(self, run: Run, model: StagedModel) -> Path | None:
        """Those of `model.weights`, to train further; else the initial ones."""
        if run.config.model.weights is not None:
            load_network(model, run.config.model.weights, "model.weights")
        return None

    def check(self, run: Run, problem: Problem, session: Session) -> None:
        """The layers of `elsewhere` must exist."""
        if problem.data.test[0].variables:
            check_layers(run.config, problem, list(self.elsewhere))

    def finish(
        self, run: Run, problem: Problem, session: Session, intervention: Intervention | None
    ) -> Outcome:
        """Save network and alignment; score the alignment in other layers, and what an adversary finds."""
        outcome = Outcome({}, files=save_network(run, problem.model))
        if intervention is None:
            return outcome
        outcome.files |= save_alignment(run, intervention)
        outcome.files |= save_causal_model(run, problem.task.causal_model, tuple(problem.alignment))
        outcome.files |= save_examples(run, problem.task, problem.data.test[-1])
        adversary = build_adversary(run.config, problem.alignment, problem.model)
        if adversary is not None:
            found = replace(problem, alignment=adversary.intervention.alignment)
            session.fit(found, adversary.released(), train_model=False)
            evaluation = session.evaluate(found, adversary.intervention)
            log_report("an adversary, fitted to the trained network", evaluation)
            outcome.metrics |= {f"adversary/{key}": value for key, value in evaluation.metrics.items()}
        for layer in self.elsewhere:
            moved = replace(problem, alignment=problem.alignment.at_layer(layer))
            there = session.intervention(moved)
            session.fit(moved, there, train_model=False)
            evaluation = session.evaluate(moved, there)
            log_report(f"the same alignment at layer {layer}", evaluation)
            prefix = f"elsewhere/layer_{layer}"
            outcome.metrics |= {f"{prefix}/{key}": value for key, value in evaluation.metrics.items()}
        return outcome
