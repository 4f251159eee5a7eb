"""The one LightningModule: behaviour training, IIT and DAS differ in objective and in what is trainable."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.metrics.iia import InterchangeAccuracy
from iit_lab.models.base import StagedModel
from iit_lab.objectives.base import Objective, Observed
from iit_lab.training import processes
from iit_lab.training.adversary import Adversary
from iit_lab.training.batches import Chunk

BEHAVIOUR = "behaviour"


class InterchangeModule(pl.LightningModule):
    """A network, an intervention on it, and an objective.

    Optimisation is manual: one `training_step` does the optimiser steps of a whole chunk of batches, which
    gives the same numbers as one by one without paying Lightning's cost for each.

    Args:
        model: the network; frozen and kept in eval mode unless `train_model`.
        intervention: None for behaviour alone.
        objective: weighted losses.
        optimizer: builds an optimiser from parameters.
        scheduler: builds a scheduler from an optimiser; None for a constant rate.
        val_sets: names of the sets of variables in the validation data.
        train_model: whether the network's weights are trained.
        gradient_clip: largest gradient norm; None for no clipping.
        log_every: optimiser steps between logged training losses.
        share: this process's share of a batch, as `TrainingBatches.share` says.
        total_steps: optimiser steps in all, for temperatures that fall as training goes on.
        adversary: refitted before every step, if the objective needs one.

    Raises:
        ValueError: if nothing is trainable, or an intervention or adversary is needed that is not there.
    """

    def __init__(
        self,
        model: StagedModel,
        intervention: Intervention | None,
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None,
        val_sets: tuple[str, ...],
        *,
        train_model: bool,
        gradient_clip: float | None = None,
        log_every: int = 50,
        share: float = 1.0,
        total_steps: int = 1,
        adversary: Adversary | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False  # a frozen network is not in the checkpoint
        if objective.needs_counterfactual and (intervention is None or not intervention.write.counterfactual):
            raise ValueError(
                "objective: a counterfactual loss needs an interchange, an ablation has no such label"
            )
        if objective.needs_size and intervention is None:
            raise ValueError("objective: a size is that of an intervention's subspaces, and there are none")
        if objective.needs_adversary and adversary is None:
            raise ValueError("objective: a term needs an adversary, and there is none")
        self.model, self.intervention, self.objective = model, intervention, objective
        self.adversary = adversary
        self.train_model, self.gradient_clip, self.log_every = train_model, gradient_clip, log_every
        self.share, self.total_steps = share, total_steps
        self._anneals = intervention is not None and intervention.anneals
        self._resumed: list[dict[str, Tensor]] | None = None
        self._build_optimizer, self._build_scheduler = optimizer, scheduler
        model.requires_grad_(train_model)
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise ValueError("nothing is trainable: neither the network nor a subspace of the intervention")
        self.metrics = nn.ModuleDict({name or BEHAVIOUR: InterchangeAccuracy() for name in val_sets})
        self._sums: dict[str, Tensor] = {}
        self._summed = 0

    def train(self, mode: bool = True) -> "InterchangeModule":
        """Training mode; a frozen network stays in eval mode, whatever Lightning asks for."""
        super().train(mode)
        if not self.train_model:
            self.model.eval()
        return self

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a chunk or a batch."""
        return [part.to(device) for part in batch] if isinstance(batch, list) else batch.to(device)

    def losses(self, batch: InterchangeBatch) -> dict[str, Tensor]:
        """Every term of the objective on one batch, and their sum as `loss`."""
        base = counterfactual = None
        if self.intervention is None or not self.objective.needs_counterfactual:
            base = self.model(batch.base)
        else:
            outputs = interchange(
                self.model,
                self.intervention,
                batch,
                want_base=self.objective.needs_base,
                source_grad=self.objective.source_grad or not self.train_model,
            )
            base, counterfactual = outputs.base, outputs.counterfactual
        size = self.intervention.size() if self.intervention and self.objective.needs_size else None
        found = None
        if self.adversary is not None:
            found = self.adversary.logits(self.model, batch, source_grad=self.objective.source_grad)
        return self.objective(
            Observed(base, counterfactual, batch.base_label, batch.counterfactual_label, size, found)
        )

    def training_step(self, chunk: Chunk, batch_idx: int) -> None:
        """The optimiser steps of one chunk of batches."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        scheduler = self.lr_schedulers()
        for batch in chunk:
            if self._anneals and self.intervention is not None:
                self.intervention.anneal(self.global_step / self.total_steps)
            if self.adversary is not None:
                self.adversary.refit(self.model, batch)
            losses = self.losses(batch)
            if self.share != 1:
                losses = {name: value * self.share for name, value in losses.items()}
            self.manual_backward(losses["loss"])
            if self.gradient_clip is not None:
                self.clip_gradients(optimizer.optimizer, self.gradient_clip, "norm")
            optimizer.step()
            optimizer.zero_grad()
            if scheduler is not None:
                scheduler.step()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
            self._accumulate(losses)

    def _accumulate(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach()
        self._summed += 1
        if self._summed >= self.log_every:
            self._log_losses()

    def _log_losses(self) -> None:
        means = {f"train/{name}": processes.mean(total) / self._summed for name, total in self._sums.items()}
        self._sums, self._summed = {}, 0
        self._log(means)

    def on_train_epoch_end(self) -> None:
        """Log what has gathered since the last time."""
        if self._summed:
            self._log_losses()

    def on_train_end(self) -> None:
        """Temperatures end where they should, also after early stopping."""
        if self.intervention is not None:
            self.intervention.anneal(1.0)

    def validation_step(self, batch: InterchangeBatch, batch_idx: int) -> None:
        """Count right answers of one batch."""
        if not len(batch):
            return
        metric = self.metrics[batch.name or BEHAVIOUR]
        assert isinstance(metric, InterchangeAccuracy)
        if batch.variables and self.intervention is not None:
            outputs = interchange(self.model, self.intervention, batch, want_base=True)
            assert outputs.base is not None and outputs.counterfactual is not None
            base, counterfactual = outputs.base, outputs.counterfactual
        else:
            base = counterfactual = self.model(batch.base)
        metric.update(base, counterfactual, batch.base_label, batch.counterfactual_label, [])

    def on_validation_epoch_end(self) -> None:
        """Log accuracy, and IIA per set and on average."""
        computed = {name: metric.compute() for name, metric in self._metrics()}
        values = {"val/accuracy": _mean(metric["accuracy"] for metric in computed.values())}
        if self.intervention is not None and BEHAVIOUR not in computed:
            values |= {f"val/iia/{name}": metric["iia"] for name, metric in computed.items()}
            values["val/iia"] = _mean(metric["iia"] for metric in computed.values())
        for _, metric in self._metrics():
            metric.reset()
        self._log(values)

    def _log(self, values: Mapping[str, Tensor | float]) -> None:
        """To callbacks through Lightning; to loggers under the optimiser's step, not Lightning's count."""
        self.log_dict(dict(values), batch_size=1, logger=False, sync_dist=processes.world() > 1)
        for logger in self.trainer.loggers:
            logger.log_metrics({name: float(value) for name, value in values.items()}, step=self.global_step)

    def _metrics(self) -> Iterator[tuple[str, InterchangeAccuracy]]:
        for name, metric in self.metrics.items():
            assert isinstance(metric, InterchangeAccuracy)
            yield name, metric

    def configure_optimizers(self) -> Any:
        """The optimiser over what is trainable, and the scheduler, stepped once per optimiser step."""
        optimizer = self._build_optimizer([p for p in self.parameters() if p.requires_grad])
        if self._build_scheduler is None:
            return optimizer
        return [optimizer], [{"scheduler": self._build_scheduler(optimizer), "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave a frozen network out; keep the generators' states and the losses not yet logged."""
        if not self.train_model:
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("model.")}
        checkpoint["generators"] = processes.generator_states(self.device)
        checkpoint["losses"] = {
            "sums": {name: processes.mean(total) for name, total in self._sums.items()},
            "steps": self._summed,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember what `on_fit_start` has to go on with."""
        self._resumed = checkpoint["generators"]
        self._sums, self._summed = dict(checkpoint["losses"]["sums"]), checkpoint["losses"]["steps"]

    def on_fit_start(self) -> None:
        """Go on with the checkpoint's generators; without one, no two processes draw the same dropout."""
        if self._resumed is not None:
            processes.set_generator_states(self._resumed, self.device)
        elif processes.rank() > 0:
            torch.manual_seed(torch.initial_seed() + processes.rank())
        self._sums = {name: total.to(self.device) for name, total in self._sums.items()}


def _mean(values: Iterator[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
