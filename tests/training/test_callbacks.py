"""What is said while training goes on."""

from unittest.mock import Mock

import pytorch_lightning as pl

from iit_lab.training import callbacks


def test_how_long_training_goes_on_is_said_now_and_then(caplog, monkeypatch):
    """10 of 40 steps in 5 seconds leave 15 seconds; of a resumed run only its own steps count."""
    now, module = [100.0], Mock(spec=pl.LightningModule)
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    caplog.set_level("INFO")
    for first, step, expected in ((0, 10, "step 10 of 40, 15 s to go"), (20, 30, "step 30 of 40, 5 s to go")):
        caplog.clear()
        remaining = callbacks.Remaining(40, every_s=5.0)
        trainer = Mock(spec=pl.Trainer, global_step=first, progress_bar_callback=None)
        remaining.on_train_start(trainer, module)
        trainer.global_step = step
        now[0] += 4.0
        remaining.on_train_batch_end(trainer, module)
        assert not caplog.messages
        now[0] += 1.0
        remaining.on_train_batch_end(trainer, module)
        assert caplog.messages == [expected]
