"""When checkpoints are saved, how many are kept, and what a full disk does."""

from pathlib import Path

import pytest
import pytorch_lightning as pl

from iit_lab.training.callbacks import Checkpoint


class Strategy:
    """One process."""

    barriers = 0

    def broadcast(self, value: bool) -> bool:
        return value

    def barrier(self) -> None:
        self.barriers += 1


class Trainer(pl.Trainer):
    """Saves its step, or fails to."""

    is_global_zero = True
    is_last_batch = False
    strategy = Strategy()

    def __init__(self) -> None:
        self.step, self.full = 0, False

    def save_checkpoint(self, path: Path, *arguments) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("cut short" if self.full else str(self.step))
        if self.full:
            raise OSError(28, "No space left on device")


@pytest.fixture
def trainer() -> Trainer:
    return Trainer()


def steps(callback: Checkpoint, trainer: Trainer, *numbers: int) -> None:
    for trainer.step in numbers:
        callback.on_train_batch_end(trainer, pl.LightningModule(), None, None, trainer.step)


def test_the_two_newest_are_kept(tmp_path, trainer):
    steps(Checkpoint(tmp_path, every_s=1e-9), trainer, 1, 2, 3)
    found = {path.name: path.read_text() for path in (tmp_path / "checkpoints").iterdir()}
    assert found == {"last.ckpt": "3", "previous.ckpt": "2"}


def test_not_more_often_than_asked_and_not_before_a_validation(tmp_path, trainer):
    steps(Checkpoint(tmp_path, every_s=3600), trainer, 1, 2)
    trainer.is_last_batch = True
    steps(Checkpoint(tmp_path, every_s=1e-9), trainer, 3)
    assert not (tmp_path / "checkpoints").exists()


def test_a_full_disk_is_a_warning_and_leaves_what_there_was(tmp_path, trainer, caplog):
    callback = Checkpoint(tmp_path, every_s=1e-9)
    steps(callback, trainer, 1)
    trainer.full = True
    steps(callback, trainer, 2)
    assert trainer.strategy.barriers == 1, "the other processes wait at Lightning's"
    assert "no checkpoint could be saved (No space left on device)" in caplog.text
    assert [path.read_text() for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    trainer.full = False
    steps(callback, trainer, 3)
    assert (tmp_path / "checkpoints" / "last.ckpt").read_text() == "3"


def test_an_interval_above_zero(tmp_path):
    with pytest.raises(ValueError, match="every_s=0: must be above 0"):
        Checkpoint(tmp_path, every_s=0)
