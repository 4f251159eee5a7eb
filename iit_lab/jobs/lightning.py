"""Lightning's trainer, callbacks, loggers and checkpoints, as a run's config asks for them."""

import logging
import signal
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping, ProgressBar
from pytorch_lightning.loggers import Logger

from iit_lab.jobs.base import Run
from iit_lab.jobs.build import build
from iit_lab.jobs.targets import about, at, make
from iit_lab.results.record import fingerprint
from iit_lab.training import processes
from iit_lab.training.batches import EvaluationBatches
from iit_lab.training.callbacks import LAST, PREVIOUS
from iit_lab.training.loggers import RunInfo

log = logging.getLogger(__name__)


def make_trainer(
    hardware: DictConfig, epochs: int, *, loggers: Sequence[Logger], callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    """A trainer on the hardware that the config names.

    Raises:
        ConfigError: if this machine does not have it.
    """
    _quieten()
    with about("hardware.accelerator", f"{hardware.accelerator}, hardware.devices={hardware.devices}"):
        try:
            return pl.Trainer(
                accelerator=hardware.accelerator,
                devices=hardware.devices,
                strategy=hardware.strategy,
                precision=hardware.precision,
                plugins=LightningEnvironment(),  # never SLURM's: submitit queues a job again, not Lightning
                max_epochs=epochs,
                logger=list(loggers),
                callbacks=list(callbacks),
                enable_checkpointing=False,
                enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
                enable_model_summary=False,
                log_every_n_steps=1,
                num_sanity_val_steps=0,
            )
        except MisconfigurationException as error:
            raise ValueError(str(error).splitlines()[0]) from error


def run_trainer(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    batches: Iterable[Any],
    validation: EvaluationBatches | None,
    checkpoint: str | None,
) -> None:
    """Train, from a checkpoint if there is one.

    Raises:
        KeyboardInterrupt: on Ctrl-C, which Lightning turns into an exit.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, batches, validation, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, interrupt)  # Lightning turns it off and exits
        raise KeyboardInterrupt from None


def _quieten() -> None:
    """Lightning's notices are about choices made here on purpose: several steps per call, frozen networks."""
    for name in ("pytorch_lightning", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    notices = (
        "Found .* in eval mode",
        ".*LeafSpec.*",
        ".*does not have many workers.*",
        "The `srun` command",
    )
    for message in notices:
        warnings.filterwarnings("ignore", message)


def find_device(hardware: DictConfig) -> torch.device:
    """Where to run what needs no trainer."""
    if hardware.accelerator == "cpu":
        return torch.device("cpu")
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def build_callbacks(nodes: Any, directory: Path) -> list[pl.Callback]:
    """Lightning's callbacks; a partial one is told the run's directory."""
    callbacks = []
    for name, node in nodes.items():
        if node is not None:
            with at(f"callbacks.{name}"):
                made = make(node)
                callbacks.append(made(directory=directory) if isinstance(made, partial) else made)
    return callbacks


def early_stopping(monitor: str, patience: int | None) -> list[pl.Callback]:
    """Stop after so many validations without a better `monitor`; nothing if `patience` is None."""
    return [] if patience is None else [EarlyStopping(monitor, patience=patience, mode="max")]


def open_loggers(run: Run) -> list[Logger]:
    """The run's loggers; the first process alone has any."""
    if processes.rank() > 0:
        return []
    config, plain = run.config, run.plain
    info = RunInfo(
        directory=run.directory,
        job=str(config.job["_target_"]).rpartition(".")[2].lower(),
        group=config.sweep or config.name,
        tags=list(config.tags),
        identity=fingerprint({**plain, "directory": str(run.directory.absolute())}),
        config=plain,
        overrides={key: value for key, _, value in (text.partition("=") for text in run.overrides)},
    )
    loggers = []
    for name, node in config.logger.items():
        if node is not None:
            with at(f"logger.{name}"):
                logger = build(node, info=info)
            loggers += [] if logger is None else [logger]
    return loggers


def find_checkpoint(directory: Path) -> str | None:
    """The newest state to resume from that can be read, if an earlier attempt left any."""
    for name in (LAST, PREVIOUS):
        path = directory / "checkpoints" / name
        if not path.exists():
            continue
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and torch each raise their own
            log.warning("%s cannot be read, is it cut short? (%s)", path, str(error).splitlines()[0])
            continue
        log.info("resuming from %s", path)
        return str(path)
    return None
