"""Many alignments of one frozen network at once: one cached prefix, one stacked pass, one step for all.

Every cell keeps what it would have alone: its parameters, its optimiser state, its losses and its end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.stack import finish_stacked
from iit_lab.metrics.iia import InterchangeAccuracy
from iit_lab.objectives.base import Objective, Observed
from iit_lab.training.batches import Chunk
from iit_lab.training.cache import Activations

Logged = list[tuple[int, dict[str, float]]]
"""What a cell would have logged alone: (optimiser step, values)."""


class GridModule(pl.LightningModule):
    """Interventions at the same sites of a frozen network, trained on the same batches.

    Their losses are added: no parameter is in two of them, so each has the gradient it would have alone. The
    optimiser has a parameter group per cell. A cell that has stopped early leaves the pass.

    Args:
        activations: of the frozen network, at the stage where the interventions begin.
        interventions: one per cell, at the same sites.
        objective: weighted losses.
        optimizer: builds an optimiser from parameter groups; must treat parameters one by one.
        scheduler: builds a scheduler from an optimiser; None for a constant rate.
        val_sets: names of the sets of variables in the validation data.
        total_steps: optimiser steps in all.
        monitor: metric that early stopping watches.
        patience: validations without a better `monitor` after which a cell stops; None for never.
        gradient_clip: largest gradient norm of a cell; None for no clipping.
        log_every: optimiser steps between logged losses.
    """

    def __init__(
        self,
        activations: Activations,
        interventions: Sequence[Intervention],
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None,
        val_sets: tuple[str, ...],
        *,
        total_steps: int,
        monitor: str,
        patience: int | None,
        gradient_clip: float | None = None,
        log_every: int = 50,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.activations, self.objective = activations, objective
        self.interventions = nn.ModuleList(interventions)
        self._own = tuple(interventions)
        self._build_optimizer, self._build_scheduler = optimizer, scheduler
        self.total_steps, self.monitor, self.patience = total_steps, monitor, patience
        self.gradient_clip, self.log_every = gradient_clip, log_every
        self.metrics = nn.ModuleDict(
            {name: nn.ModuleList(InterchangeAccuracy() for _ in interventions) for name in val_sets}
        )
        self.logged: list[Logged] = [[] for _ in interventions]
        self._best = [(-1.0, 0) for _ in interventions]  # the best validation, and how many came after it
        self._sums: list[dict[str, Tensor]] = [{} for _ in interventions]
        self._summed = 0

    @property
    def active(self) -> list[int]:
        """Cells that have not stopped."""
        patience = self.patience
        return [i for i, (_, waited) in enumerate(self._best) if patience is None or waited < patience]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a chunk or a batch."""
        return [part.to(device) for part in batch] if isinstance(batch, list) else batch.to(device)

    def losses(self, batch: InterchangeBatch) -> list[dict[str, Tensor]]:
        """Every term of the objective, and their sum as `loss`, for each active cell."""
        cells = [self._own[i] for i in self.active]
        model = self.activations.model
        before = self.activations.prefix(cells[0], batch)
        base = None
        if self.objective.needs_base:
            with torch.no_grad():
                base = model.run(before.base, start=before.stage)
        found = finish_stacked(model, cells, batch, before)
        sizes = [cell.size() if self.objective.needs_size else None for cell in cells]
        return [
            self.objective(Observed(base, logits, batch.base_label, batch.counterfactual_label, size))
            for logits, size in zip(found, sizes, strict=True)
        ]

    def training_step(self, chunk: Chunk, batch_idx: int) -> None:
        """The optimiser steps of one chunk of batches."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        scheduler = self.lr_schedulers()
        for batch in chunk:
            for i in self.active:
                self._own[i].anneal(self.global_step / self.total_steps)
            losses = self.losses(batch)
            self.manual_backward(torch.stack([values["loss"] for values in losses]).sum())
            if self.gradient_clip is not None:
                for i in self.active:
                    nn.utils.clip_grad_norm_(self._own[i].parameters(), self.gradient_clip)
            optimizer.step()
            optimizer.zero_grad()
            if scheduler is not None:
                scheduler.step()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
            self._accumulate(losses)

    def _accumulate(self, losses: Sequence[Mapping[str, Tensor]]) -> None:
        for i, values in zip(self.active, losses, strict=True):
            sums = self._sums[i]
            for name, value in values.items():
                sums[name] = sums.get(name, 0) + value.detach()
        self._summed += 1
        if self._summed >= self.log_every:
            self._log_losses()

    def _log_losses(self) -> None:
        for i in self.active:
            means = {f"train/{name}": float(total) / self._summed for name, total in self._sums[i].items()}
            self.logged[i].append((self.global_step, means))
        self._sums, self._summed = [{} for _ in self._own], 0
        self._show("train/loss")

    def on_train_epoch_end(self) -> None:
        """Log what has gathered since the last time."""
        if self._summed:
            self._log_losses()

    def validation_step(self, batch: InterchangeBatch, batch_idx: int) -> None:
        """Count right answers of one batch."""
        metrics = self.metrics[batch.name]
        assert isinstance(metrics, nn.ModuleList)
        before = self.activations.prefix(self._own[0], batch)
        base = self.activations.model.run(before.base, start=before.stage)
        found = finish_stacked(self.activations.model, [self._own[i] for i in self.active], batch, before)
        for i, logits in zip(self.active, found, strict=True):
            metrics[i].update(base, logits, batch.base_label, batch.counterfactual_label, [])  # pyright: ignore[reportCallIssue]

    def on_validation_epoch_end(self) -> None:
        """Keep accuracy and IIA of every active cell; stop cells that have waited too long."""
        for i in self.active:
            computed = {name: metrics[i].compute() for name, metrics in self.metrics.items()}  # pyright: ignore[reportIndexIssue]
            values = {"val/accuracy": _mean([found["accuracy"] for found in computed.values()])}
            values |= {f"val/iia/{name}": found["iia"] for name, found in computed.items()}
            values["val/iia"] = _mean([found["iia"] for found in computed.values()])
            self.logged[i].append((self.global_step, values))
            best, waited = self._best[i]
            better = values[self.monitor] > best
            self._best[i] = (values[self.monitor], 0) if better else (best, waited + 1)
        for metrics in self.metrics.values():
            for metric in metrics:  # pyright: ignore[reportGeneralTypeIssues]
                metric.reset()
        self._show("val/iia")
        if not self.active:
            self.trainer.should_stop = True

    def _show(self, name: str) -> None:
        """The mean over cells, for progress."""
        last = [next((v[name] for _, v in reversed(logged) if name in v), 0.0) for logged in self.logged]
        self.log(name, _mean(last), batch_size=1, logger=False)

    def on_train_end(self) -> None:
        """Temperatures end where they should, also after early stopping."""
        for intervention in self._own:
            intervention.anneal(1.0)

    def configure_optimizers(self) -> Any:
        """One parameter group per cell, and the scheduler, stepped once per optimiser step."""
        groups = [{"params": [p for p in cell.parameters() if p.requires_grad]} for cell in self._own]
        optimizer = self._build_optimizer(groups)
        if self._build_scheduler is None:
            return optimizer
        return [optimizer], [{"scheduler": self._build_scheduler(optimizer), "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was logged and who has stopped."""
        checkpoint["grid"] = {
            "logged": self.logged,
            "best": self._best,
            "sums": self._sums,
            "summed": self._summed,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        state = checkpoint["grid"]
        self.logged = [[(int(step), dict(values)) for step, values in cell] for cell in state["logged"]]
        self._best = [(float(best), int(waited)) for best, waited in state["best"]]
        self._sums, self._summed = [dict(cell) for cell in state["sums"]], int(state["summed"])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
