"""Progress and checkpoints."""

import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, RichProgressBar

log = logging.getLogger(__name__)
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class PlainProgress(Callback):
    """One line per validation, and not more often than every few seconds: for logs and pipes.

    Args:
        every_s: seconds between lines, at least.
    """

    def __init__(self, every_s: float = 5.0) -> None:
        self.every_s = every_s
        self._last = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say where training is."""
        if trainer.sanity_checking or time.monotonic() - self._last < self.every_s:
            return
        self._last = time.monotonic()
        values = ", ".join(
            f"{name} {float(value):.3f}" for name, value in sorted(trainer.callback_metrics.items())
        )
        log.info("epoch %d, step %d: %s", trainer.current_epoch, trainer.global_step, values)


class Remaining(Callback):
    """A line now and then about how long training will go on, where no progress bar says it.

    Args:
        total_steps: of the optimiser.
        every_s: seconds between lines, at least.
    """

    def __init__(self, total_steps: int, every_s: float = 10.0) -> None:
        self.total_steps, self.every_s = total_steps, every_s
        self._began = self._last = 0.0
        self._first = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._began = self._last = time.monotonic()
        self._first = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any) -> None:
        """Say how far it is."""
        now, done = time.monotonic(), trainer.global_step
        if done <= self._first or now - self._last < self.every_s or trainer.progress_bar_callback:
            return
        self._last = now
        left = (now - self._began) * (self.total_steps - done) / (done - self._first)
        log.info("step %d of %d, %.0f s to go", done, self.total_steps, left)


def progress(every_s: float = 5.0) -> Callback:
    """A rich progress bar on a terminal, plain lines elsewhere.

    Args:
        every_s: seconds between plain lines, at least.
    """
    return RichProgressBar() if sys.stdout.isatty() else PlainProgress(every_s)


class KeepTermination(Callback):
    """What SIGTERM does stays as it was: Lightning would end a SLURM job before it can be queued again."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Undo what Lightning has set."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handler)


class Checkpoint(Callback):
    """Keeps the two newest states to resume from, `checkpoints/last.ckpt` and `previous.ckpt`.

    Lightning's own ModelCheckpoint ignores its time interval under manual optimisation. Nothing is saved
    between an epoch's last step and its validation: Lightning would leave that validation out on resuming.

    Args:
        directory: the run's.
        every_s: seconds between checkpoints.

    Raises:
        ValueError: if `every_s` is not above 0.
    """

    def __init__(self, directory: str | Path, every_s: float = 60.0) -> None:
        if every_s <= 0:
            raise ValueError(f"every_s={every_s}: must be above 0")
        self.folder = Path(directory) / "checkpoints"
        self.every_s = every_s
        self._last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any) -> None:
        """Save, if the first process finds that it is time."""
        due = not trainer.is_last_batch and time.monotonic() - self._last >= self.every_s
        if not trainer.strategy.broadcast(due):
            return
        temporary = self.folder / "partial.ckpt"
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                self._keep(temporary)
        except OSError as error:  # a full disk is no reason to lose what has been trained so far
            log.warning("%s: no checkpoint could be saved (%s)", self.folder, error.strerror or error)
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            trainer.strategy.barrier()  # at which the other processes wait for the one that could not save
        self._last = time.monotonic()

    def _keep(self, newest: Path) -> None:
        last = self.folder / LAST
        if last.exists():
            os.replace(last, self.folder / PREVIOUS)
        os.replace(newest, last)
