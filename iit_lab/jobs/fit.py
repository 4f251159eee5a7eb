"""What training and alignment share: build, fit, evaluate, controls, save."""

import logging
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
from omegaconf import DictConfig

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.config import ConfigError
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs import controls
from iit_lab.jobs.base import Job, Outcome, Run
from iit_lab.jobs.build import (
    build_adversary,
    build_alignment,
    build_intervention,
    build_model,
    build_objective,
    build_policy,
    build_task,
    set_threads,
)
from iit_lab.jobs.reporting import brief, comparison, log_report, result_table, save_report
from iit_lab.jobs.session import FitSettings, Problem, Session
from iit_lab.jobs.targets import at
from iit_lab.models.base import StagedModel
from iit_lab.tasks.base import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fit(Job, ABC):
    """A job that trains something.

    Args:
        batch_size: rows per optimiser step.
        eval_batch_size: rows at once where nothing is trained.
        max_epochs: passes over the training data.
        max_steps: optimiser steps, if fewer; None for no limit.
        patience: stop after so many epochs without a better `monitor`; None for never.
        monitor: metric that early stopping watches.
        gradient_clip: largest gradient norm; None for no clipping.
        log_every: optimiser steps between logged losses.
        steps_per_call: optimiser steps per call of Lightning; changes speed, not numbers.
    """

    batch_size: int
    eval_batch_size: int
    max_epochs: int
    max_steps: int | None
    patience: int | None
    monitor: Literal["val/iia", "val/accuracy"]
    gradient_clip: float | None
    log_every: int
    steps_per_call: int

    @abstractmethod
    def trains_network(self, config: DictConfig) -> bool:
        """Whether the network's weights change."""

    @abstractmethod
    def load_weights(self, run: Run, model: StagedModel) -> Path | None:
        """Give the network the weights it starts with; return the folder they came from, if any."""

    @abstractmethod
    def check(self, run: Run, problem: Problem, session: Session) -> None:
        """Refuse, before anything is trained, what this job cannot do."""

    @abstractmethod
    def finish(
        self, run: Run, problem: Problem, session: Session, intervention: Intervention | None
    ) -> Outcome:
        """Report and save what only this job does."""

    def prepare(self, run: Run) -> None:
        """Build everything once."""
        self.build(run)

    def build(self, run: Run) -> tuple[Task, StagedModel, Alignment, list[str], Path | None]:
        """Task, network with its weights, alignment, controls, and where the weights came from."""
        config = run.config
        names = controls.names(config.control)
        task = build_task(config)
        model = build_model(config, task)
        set_threads(config, model, run.part[1])
        alignment = build_alignment(config, task, model)
        policy = build_policy(config)
        with at("counterfactual"):
            controls.check(names, task, alignment, policy)
        behaviour = not policy.train_sets and not policy.test_sets
        tried = None if behaviour else build_intervention(config, alignment, model)
        if tried is not None:
            build_adversary(config, alignment, model)
        self._check_config(config, policy, tried)
        origin = None if names == ["untrained"] else self.load_weights(run, model)
        return task, model, alignment, names, origin

    def perform(self, run: Run) -> Outcome:
        """Fit, evaluate, run the controls, save."""
        config = run.config
        task, model, alignment, names, origin = self.build(run)
        pl.seed_everything(config.seed, verbose=False)
        session = Session(run, self.eval_batch_size, self.settings)
        metrics: dict[str, float] = {}
        failed = True
        try:
            problem = Problem(task, model, alignment, session.draw(task, alignment, model))
            self.check(run, problem, session)
            main = controls.Main(partial(self._fit, run, problem, session))
            outcome = self.report(run, problem, session, names, main)
            if origin is not None:
                outcome.files["network"] = os.path.relpath(origin / "network.safetensors", run.directory)
            metrics, failed = outcome.metrics, False
            return outcome
        finally:
            session.close(metrics, result_table(metrics), failed=failed)

    def _check_config(
        self, config: DictConfig, policy: CounterfactualPolicy, intervention: Intervention | None
    ) -> None:
        """Find what does not go together, before any data are made."""
        objective = build_objective(config)
        if self.patience is not None and self.monitor == "val/iia" and intervention is None:
            raise ConfigError("job.monitor=val/iia: behaviour alone has no IIA; use val/accuracy")
        trained = self.trains_network(config)
        if policy.filter == "correct" and trained:
            raise ConfigError("counterfactual.filter=correct: needs a network that is not being trained")
        learns = trained or (intervention is not None and intervention.trainable)
        if learns and objective.needs_counterfactual:
            if intervention is not None and not intervention.write.counterfactual:
                kind = type(intervention.write).__name__.lower()
                raise ConfigError(
                    f"intervention={kind}: an ablation has no counterfactual label to train towards; use an "
                    "interchange, or objective=behaviour"
                )
            if not policy.train_sets:
                raise ConfigError(
                    "counterfactual.train_sets=[]: this objective needs variables to intervene in"
                )

    @property
    def settings(self) -> FitSettings:
        """How to fit."""
        return FitSettings(**{f.name: getattr(self, f.name) for f in fields(FitSettings)})

    def report(
        self,
        run: Run,
        problem: Problem,
        session: Session,
        names: list[str],
        main: controls.Main,
        *,
        full: bool = True,
    ) -> Outcome:
        """Evaluate the fit, run the controls, save.

        Args:
            run: whose record it is.
            problem: network and data.
            session: of the run.
            names: controls; the first one's metrics are `test/...`.
            main: the run's own fit.
            full: whether to log all that was found.
        """
        outcome = Outcome({}, session.timing)
        for i, name in enumerate(names):
            evaluation = controls.CONTROLS[name](session, problem, main)
            prefix = "test" if i == 0 else f"control/{name}"
            outcome.metrics |= {f"{prefix}/{key}": value for key, value in evaluation.metrics.items()}
            if i == 0 and full:
                log_report("test" if name == "none" else f"test, control={name}", evaluation)
            if i == 0:
                outcome.files |= save_report(run.directory, evaluation)
        if names[0] == "none":
            outcome.metrics |= self._beside(problem, session, main(), full)
            outcome.notes += [problem.task.note] if problem.task.note else []
            more = self.finish(run, problem, session, main())
            outcome.metrics |= more.metrics
            outcome.files |= more.files
            outcome.notes += more.notes
        if len(names) > 1 and full:
            log.info("controls\n%s", comparison(outcome.metrics, names))
        return outcome

    def _beside(
        self, problem: Problem, session: Session, intervention: Intervention | None, full: bool
    ) -> dict[str, float]:
        """What is reported beside `test`, such as pairs of inputs that were trained on."""
        metrics = {}
        for name, groups in problem.data.beside.items():
            evaluation = session.evaluate(problem, intervention, groups)
            if full:
                log.info("%s\n%s", name, brief(evaluation))
            metrics |= {f"{name}/{key}": value for key, value in evaluation.metrics.items()}
        return metrics

    def _fit(self, run: Run, problem: Problem, session: Session) -> Intervention | None:
        behaviour = not problem.data.train[0].variables and not problem.data.test[0].variables
        intervention = None if behaviour else session.intervention(problem)
        session.fit(problem, intervention, train_model=self.trains_network(run.config), main=True)
        return intervention


def check_layers(config: DictConfig, problem: Problem, layers: list[int]) -> None:
    """Make sure that an alignment can be moved to other layers.

    Raises:
        ConfigError: if the network does not have one of them, or variables would overlap there.
    """
    for layer in layers:
        with at("job.elsewhere"):
            moved = problem.alignment.at_layer(layer).checked(problem.model)
        build_intervention(config, moved, problem.model)
