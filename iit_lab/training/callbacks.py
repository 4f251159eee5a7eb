"""Progress and checkpoints."""

import logging
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar

log = logging.getLogger(__name__)


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


def progress(every_s: float = 5.0) -> Callback:
    """A rich progress bar on a terminal, plain lines elsewhere.

    Args:
        every_s: seconds between plain lines, at least.
    """
    return RichProgressBar() if sys.stdout.isatty() else PlainProgress(every_s)


def checkpoint(directory: str | Path, every_s: float = 60.0) -> ModelCheckpoint:
    """Keep the state to resume from, `checkpoints/last.ckpt`, replaced every few seconds.

    Args:
        directory: the run's.
        every_s: seconds between checkpoints.

    Raises:
        ValueError: if `every_s` is not above 0.
    """
    if every_s <= 0:
        raise ValueError(f"every_s={every_s}: must be above 0")
    return ModelCheckpoint(
        dirpath=Path(directory) / "checkpoints",
        filename="last",
        train_time_interval=timedelta(seconds=every_s),
        save_top_k=1,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
