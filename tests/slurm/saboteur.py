"""A callback that makes chosen cells of a sweep fail once, in ways that clusters know."""

import json
import os
import signal
import time
from pathlib import Path

import pytorch_lightning as pl


class Saboteur(pl.Callback):
    """Strikes at a step, the first time a cell gets there.

    Args:
        directory: the cell's; its layer and rank decide whether it is struck.
        raising: cells that raise, as `layer-rank`.
        killed: cells that are killed hard.
        preempted: cells that say they are ready to be preempted, and wait for it.
        step: when.
    """

    def __init__(
        self, directory: Path, raising: list[str], killed: list[str], preempted: list[str], step: int
    ) -> None:
        self.directory, self.step = Path(directory), step
        self.raising, self.killed, self.preempted = raising, killed, preempted

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: object) -> None:
        mark = self.directory / "struck"
        if trainer.global_step < self.step or mark.exists():
            return
        config = json.loads((self.directory / "config.json").read_text())["config"]
        name = f"{config['alignment']['layer']}-{config['intervention']['rank']}"
        if name in (*self.raising, *self.killed, *self.preempted):
            mark.touch()
        if name in self.raising:
            raise RuntimeError("sabotage")
        if name in self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if name in self.preempted:
            time.sleep(120)
