"""One run's data, trainers, evaluations and loggers: what a job and its controls work with."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from pytorch_lightning.loggers import Logger

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.base import Run
from iit_lab.jobs.build import build_adversary, build_intervention, build_objective, build_policy
from iit_lab.jobs.lightning import (
    build_callbacks,
    early_stopping,
    find_checkpoint,
    find_device,
    make_trainer,
    open_loggers,
    run_trainer,
)
from iit_lab.jobs.targets import at, make
from iit_lab.models.base import StagedModel
from iit_lab.tasks.base import Task
from iit_lab.training import loggers as run_loggers
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.cache import Activations
from iit_lab.training.callbacks import KeepTermination
from iit_lab.training.data import Splits, draw_splits
from iit_lab.training.evaluation import Evaluation, evaluate
from iit_lab.training.module import InterchangeModule

CALIBRATION = 65_536
"""So many training inputs are enough for a mean or for principal components."""


@dataclass(frozen=True)
class Problem:
    """What is to be fitted and evaluated.

    Args:
        task: labels and encodes.
        model: the network.
        alignment: which variable lives where.
        data: of this task and alignment.
    """

    task: Task
    model: StagedModel
    alignment: Alignment
    data: Splits


@dataclass(frozen=True)
class FitSettings:
    """How a fit is done; the fields are documented where a job has them as keys (`jobs.fit.Fit`)."""

    batch_size: int
    max_epochs: int
    max_steps: int | None
    patience: int | None
    monitor: str
    gradient_clip: float | None
    log_every: int
    steps_per_call: int


@dataclass
class Session:
    """What a run has at hand while it lasts.

    Args:
        run: config and directory.
        eval_batch_size: rows at once where nothing is trained.
        settings: how to fit; None where nothing is.
        timing: seconds per phase so far.
        activations: of the network's inputs, where they are kept.
    """

    run: Run
    eval_batch_size: int
    settings: FitSettings | None = None
    timing: dict[str, float] = field(default_factory=dict)
    activations: Activations | None = None
    _loggers: list[Logger] | None = None

    def draw(self, task: Task, alignment: Alignment, model: StagedModel) -> Splits:
        """Data for a task and the variables that are aligned."""
        began = time.monotonic()
        model.eval()

        @torch.no_grad()
        def predict(inputs: torch.Tensor) -> torch.Tensor:
            device = next((parameter.device for parameter in model.parameters()), inputs.device)
            return model(inputs.to(device)).argmax(-1).to(inputs.device)

        policy = build_policy(self.run.config)
        limit = self.run.config.limit.rows
        with at("counterfactual"):
            splits = draw_splits(
                task, policy, tuple(alignment), self.run.config.seed, limit=limit, predict=predict
            )
        self.clock("data", began)
        return splits

    def intervention(self, problem: Problem, **changes: Any) -> Intervention:
        """A fresh intervention at the alignment's sites, with what it needs of training inputs."""
        intervention = build_intervention(self.run.config, problem.alignment, problem.model, **changes)
        with at("intervention"):
            inputs = problem.data.train[0].base[:CALIBRATION]
            intervention.calibrate(problem.model.eval(), inputs, self.eval_batch_size)
        return intervention

    def fit(
        self, problem: Problem, intervention: Intervention | None, *, train_model: bool, main: bool = False
    ) -> None:
        """Train what is trainable; nothing happens if nothing is.

        Args:
            problem: network and data.
            intervention: at the alignment's sites; None for behaviour alone.
            train_model: whether the network is trained.
            main: whether this is the run's own fit, which logs, leaves checkpoints and resumes; a
                control's does not.
        """
        problem.model.requires_grad_(train_model)
        objective = build_objective(self.run.config)
        objective = objective if train_model else objective.of_frozen()
        adversary = None
        if objective.needs_adversary:
            adversary = build_adversary(self.run.config, problem.alignment, problem.model)
        if intervention is not None and not objective.needs_counterfactual:
            intervention.requires_grad_(False)  # nothing would be learnt about where variables live
        if not train_model and not any(p.requires_grad for p in _parameters(intervention)):
            if intervention is not None:
                intervention.anneal(1.0)
            return
        assert self.settings is not None
        began = time.monotonic()
        batches = self.batches(problem.data.train)
        module = InterchangeModule(
            problem.model,
            intervention,
            objective,
            self.factory("optimizer"),
            self.scheduler(batches.total_steps),
            tuple(group.name for group in problem.data.val),
            train_model=train_model,
            gradient_clip=self.settings.gradient_clip,
            log_every=self.settings.log_every,
            share=batches.share,
            total_steps=batches.total_steps,
            adversary=adversary,
        )
        config, directory = self.run.config, self.run.directory
        trainer = make_trainer(
            config.hardware,
            batches.epochs,
            loggers=self.loggers if main else [],
            callbacks=[
                KeepTermination(),
                *(build_callbacks(config.callbacks, directory) if main else []),
                *early_stopping(self.settings.monitor, self.settings.patience),
            ],
        )
        checkpoint = find_checkpoint(self.run.home or directory) if main else None
        validation = EvaluationBatches(problem.data.val, self.eval_batch_size)
        module.train()  # drawing data left the network in eval mode; a frozen one stays there
        run_trainer(trainer, module, batches, validation, checkpoint)
        self.clock("fit" if main else "controls", began)

    def evaluate(
        self,
        problem: Problem,
        intervention: Intervention | None,
        groups: Sequence[InterchangeBatch] | None = None,
    ) -> Evaluation:
        """Metrics on the test data, or on `groups`."""
        began = time.monotonic()
        groups = problem.data.test if groups is None else groups
        device = find_device(self.run.config.hardware)
        kept = self.activations
        found = evaluate(problem.model, intervention, groups, self.eval_batch_size, device, kept)
        self.clock("evaluate", began)
        return found

    def close(self, metrics: dict[str, float], table: Sequence[Sequence[Any]], *, failed: bool) -> None:
        """Hand the results to the loggers and close them, also when the run raised."""
        loggers = self._loggers if failed else self.loggers
        run_loggers.finish(loggers or [], metrics, table, failed=failed)

    @property
    def loggers(self) -> list[Logger]:
        """The run's loggers, opened when first needed."""
        if self._loggers is None:
            self._loggers = open_loggers(self.run)
        return self._loggers

    def batches(self, groups: Sequence[InterchangeBatch], seed: int | None = None) -> TrainingBatches:
        """Training batches as the settings say; their order comes from `seed`, or the run's own."""
        settings = self.settings
        assert settings is not None
        limit = self.run.config.limit.steps
        steps = [n for n in (settings.max_steps, limit) if n is not None]
        with at("job"):
            return TrainingBatches(
                groups,
                settings.batch_size,
                self.run.config.seed if seed is None else seed,
                settings.steps_per_call,
                settings.max_epochs,
                min(steps, default=None),
            )

    def scheduler(self, total_steps: int) -> Callable[..., Any] | None:
        """Builds the scheduler from an optimiser; None for a constant rate."""
        return self.factory("scheduler", total_steps=total_steps) if self.run.config.scheduler else None

    def factory(self, group: str, **known: Any) -> Callable[..., Any]:
        """A group's partial, given those of `known` that its target takes."""
        made = make(self.run.config[group])
        taken = {key: value for key, value in known.items() if key in signature(made).parameters}

        def factory(*arguments: Any) -> Any:
            with at(group):
                return made(*arguments, **taken)

        return factory

    def clock(self, phase: str, began: float) -> None:
        """Add the time since `began` to a phase."""
        self.timing[phase] = self.timing.get(phase, 0.0) + time.monotonic() - began


def _parameters(intervention: Intervention | None) -> Iterator[torch.nn.Parameter]:
    return iter(()) if intervention is None else intervention.parameters()
