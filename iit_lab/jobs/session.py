"""One run's data, trainers, evaluations and loggers: what a job and its controls work with."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import EarlyStopping, ProgressBar

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.base import Run
from iit_lab.jobs.build import build, build_intervention, build_objective, build_policy
from iit_lab.jobs.targets import about, at, make
from iit_lab.models.base import StagedModel
from iit_lab.results.record import fingerprint
from iit_lab.tasks.base import Task
from iit_lab.training import loggers as run_loggers
from iit_lab.training.batches import EvaluationBatches, TrainingBatches
from iit_lab.training.data import Splits, draw_splits
from iit_lab.training.evaluation import Evaluation, evaluate
from iit_lab.training.module import InterchangeModule

log = logging.getLogger(__name__)


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
    """

    run: Run
    eval_batch_size: int
    settings: FitSettings | None = None
    timing: dict[str, float] = field(default_factory=dict)
    _loggers: list[Any] | None = None

    def draw(self, task: Task, alignment: Alignment, model: StagedModel) -> Splits:
        """Data for a task and the variables that are aligned."""
        began = time.monotonic()
        model.eval()

        @torch.no_grad()
        def predict(inputs: torch.Tensor) -> torch.Tensor:
            return model(inputs).argmax(-1)

        policy = build_policy(self.run.config)
        limit = self.run.config.limit.rows
        with at("counterfactual"):
            splits = draw_splits(
                task, policy, tuple(alignment), self.run.config.seed, limit=limit, predict=predict
            )
        self._clock("data", began)
        return splits

    def intervention(self, problem: Problem, **changes: Any) -> Intervention:
        """A fresh intervention at the alignment's sites, its means taken from training inputs."""
        intervention = build_intervention(self.run.config, problem.alignment, problem.model, **changes)
        intervention.calibrate(problem.model.eval(), problem.data.train[0].base)
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
        if not train_model and (intervention is None or not intervention.trainable):
            return
        assert self.settings is not None
        began = time.monotonic()
        batches = self._batches(problem, self.settings)
        scheduler = None
        if self.run.config.scheduler:
            scheduler = self._factory("scheduler", total_steps=batches.total_steps)
        module = InterchangeModule(
            problem.model,
            intervention,
            build_objective(self.run.config),
            self._factory("optimizer"),
            scheduler,
            tuple(group.name for group in problem.data.val),
            train_model=train_model,
            gradient_clip=self.settings.gradient_clip,
            log_every=self.settings.log_every,
        )
        trainer = self._trainer(self.settings, batches.epochs, main)
        checkpoint = self._checkpoint() if main else None
        validation = EvaluationBatches(problem.data.val, self.eval_batch_size)
        module.train()  # drawing data left the network in eval mode; a frozen one stays there
        trainer.fit(module, batches, validation, ckpt_path=checkpoint, weights_only=True)
        if trainer.interrupted:
            raise KeyboardInterrupt
        self._clock("fit" if main else "controls", began)

    def evaluate(
        self,
        problem: Problem,
        intervention: Intervention | None,
        groups: Sequence[InterchangeBatch] | None = None,
    ) -> Evaluation:
        """Metrics on the test data, or on `groups`."""
        began = time.monotonic()
        groups = problem.data.test if groups is None else groups
        device = torch.device("cpu" if self.run.config.hardware.accelerator == "cpu" else _accelerator())
        found = evaluate(problem.model, intervention, groups, self.eval_batch_size, device)
        self._clock("evaluate", began)
        return found

    def close(self, metrics: dict[str, float], table: Sequence[Sequence[Any]], *, failed: bool) -> None:
        """Hand the results to the loggers and close them, also when the run raised."""
        loggers = self._loggers if failed else self.loggers
        run_loggers.finish(loggers or [], metrics, table, failed=failed)

    @property
    def loggers(self) -> list[Any]:
        """The run's loggers, opened when first needed."""
        if self._loggers is None:
            config, plain, directory = self.run.config, self.run.plain, self.run.directory
            info = run_loggers.RunInfo(
                directory=directory,
                job=str(config.job["_target_"]).rpartition(".")[2].lower(),
                group=config.sweep or config.name,
                tags=list(config.tags),
                identity=fingerprint({**plain, "directory": str(directory.absolute())}),
                config=plain,
            )
            self._loggers = []
            for name, node in config.logger.items():
                with at(f"logger.{name}"):
                    logger = build(node, info=info)
                self._loggers += [] if logger is None else [logger]
        return self._loggers

    def _batches(self, problem: Problem, settings: FitSettings) -> TrainingBatches:
        limit = self.run.config.limit.steps
        steps = [n for n in (settings.max_steps, limit) if n is not None]
        with at("job"):
            return TrainingBatches(
                problem.data.train,
                settings.batch_size,
                self.run.config.seed,
                settings.steps_per_call,
                settings.max_epochs,
                min(steps, default=None),
            )

    def _factory(self, group: str, **known: Any) -> Callable[..., Any]:
        """A group's partial, given those of `known` that its target takes."""
        made = make(self.run.config[group])
        taken = {key: value for key, value in known.items() if key in signature(made).parameters}

        def factory(*arguments: Any) -> Any:
            with at(group):
                return made(*arguments, **taken)

        return factory

    def _checkpoint(self) -> str | None:
        """The state to resume from, if an earlier attempt left any."""
        path = self.run.directory / "checkpoints" / "last.ckpt"
        if not path.exists():
            return None
        with about("hydra.run.dir", self.run.directory):
            try:
                torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                raise ValueError(
                    f"{path.relative_to(self.run.directory)} cannot be read, is it cut short? Remove it to "
                    f"begin anew ({str(error).splitlines()[0]})"
                ) from error
        log.info("resuming from %s", path)
        return str(path)

    def _trainer(self, settings: FitSettings, epochs: int, main: bool) -> pl.Trainer:
        _quieten_lightning()
        hardware = self.run.config.hardware
        callbacks = build_callbacks(self.run.config.callbacks, self.run.directory) if main else []
        if settings.patience is not None:
            patience, monitor = settings.patience, settings.monitor
            callbacks.append(EarlyStopping(monitor, patience=patience, mode="max"))
        bar = any(isinstance(callback, ProgressBar) for callback in callbacks)
        with about("hardware.accelerator", f"{hardware.accelerator}, hardware.devices={hardware.devices}"):
            try:
                return pl.Trainer(
                    accelerator=hardware.accelerator,
                    devices=hardware.devices,
                    num_nodes=hardware.num_nodes,
                    strategy=hardware.strategy,
                    precision=hardware.precision,
                    max_epochs=epochs,
                    logger=self.loggers if main else False,
                    callbacks=callbacks,
                    enable_checkpointing=False,
                    enable_progress_bar=bar,
                    enable_model_summary=False,
                    log_every_n_steps=1,
                    num_sanity_val_steps=0,
                )
            except MisconfigurationException as error:
                raise ValueError(str(error).splitlines()[0]) from error

    def _clock(self, phase: str, began: float) -> None:
        self.timing[phase] = self.timing.get(phase, 0.0) + time.monotonic() - began


def _accelerator() -> str:
    return str(torch.accelerator.current_accelerator() or "cpu")


def _quieten_lightning() -> None:
    """Its notices are about choices made here on purpose: several steps per call, a frozen network."""
    for name in ("pytorch_lightning", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in ("Found .* in eval mode", ".*LeafSpec.*", ".*does not have many workers.*"):
        warnings.filterwarnings("ignore", message)


def build_callbacks(nodes: Any, directory: Path) -> list[pl.Callback]:
    """Lightning's callbacks; a partial one is told the run's directory."""
    callbacks = []
    for name, node in nodes.items():
        with at(f"callbacks.{name}"):
            made = make(node)
            callbacks.append(made(directory=directory) if isinstance(made, partial) else made)
    return callbacks
