"""Many small networks of one shape, trained at once: stacked parameters, one vmapped step for all.

The idiom of `torch.func.stack_module_state`. Each network has the losses and gradients that it would have
alone: its own weights, its own sites, its own set of variables, on batches that others share.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.objectives.base import Objective, Observed
from iit_lab.training import processes
from iit_lab.training.batches import TrainingBatches
from iit_lab.training.members import Interchange, Member, project

Step = list[InterchangeBatch]
"""A batch of each stream."""


class Streams:
    """Batches of several data sets side by side, each in the order it would have alone.

    Args:
        streams: of equally many batches.

    Raises:
        ValueError: if they are not, or do not have batches of one size.
    """

    def __init__(self, streams: Sequence[TrainingBatches]) -> None:
        kinds = {(each.steps_per_epoch, each.total_steps, each.batch_size, each.chunk) for each in streams}
        if len(kinds) != 1:
            raise ValueError(f"streams: they differ in steps or rows of a batch, {sorted(kinds)}")
        self.streams = tuple(streams)
        self.total_steps, self.epochs = streams[0].total_steps, streams[0].epochs

    def __len__(self) -> int:
        return len(self.streams[0])

    def __iter__(self) -> Iterator[list[Step]]:
        for chunks in zip(*self.streams, strict=True):
            yield [list(step) for step in zip(*chunks, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """The position, for Lightning's checkpoint."""
        return self.streams[0].state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's position."""
        for each in self.streams:
            each.load_state_dict(state)


class PopulationModule(pl.LightningModule):
    """A population under training. Optimisation is manual, as in `InterchangeModule`.

    Args:
        members: networks of one shape, with fixed subspaces.
        objective: weighted losses, the same for all.
        optimizer: builds an optimiser from parameters; must treat their entries one by one, as Adam does.
        scheduler: builds a scheduler from an optimiser; None for a constant rate.
        gradient_clip: largest gradient norm of each network; None for no clipping.
        log_every: optimiser steps between logged training losses.

    Raises:
        ValueError: for networks of different shapes, subspaces that are trained, or writes that are none.
    """

    def __init__(
        self,
        members: Sequence[Member],
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        *,
        gradient_clip: float | None = None,
        log_every: int = 50,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.members, self.objective = tuple(members), objective
        self._build_optimizer, self._build_scheduler = optimizer, scheduler
        self.gradient_clip, self.log_every = gradient_clip, log_every
        states = [dict(member.model.named_parameters()) for member in members]
        shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in states]
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError("members: networks of different shapes cannot be trained together")
        self.names = tuple(states[0])
        self.stacked = nn.ParameterList(
            nn.Parameter(torch.stack([state[name].detach() for state in states])) for name in self.names
        )
        buffers = [dict(member.model.named_buffers()) for member in members]
        self.buffer_names = tuple(buffers[0])
        for i, name in enumerate(self.buffer_names):
            self.register_buffer(f"state_{i}", torch.stack([own[name] for own in buffers]), persistent=False)
        self.variables, sites, projections = project(members)
        self.n_sites = len(sites)
        for i, each in enumerate(projections):
            self.register_buffer(f"projection_{i}", each, persistent=False)
        self.register_buffer("stream", torch.tensor([member.stream for member in members]), persistent=False)
        self._one = (Interchange(members[0].model, sites, objective.source_grad),)  # not a submodule
        self._sums: dict[str, Tensor] = {}
        self._summed = 0
        self._resumed: list[dict[str, Tensor]] | None = None

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a chunk."""
        return [[each.to(device) for each in step] for step in batch]

    def losses(self, step: Step) -> dict[str, Float[Tensor, " members"]]:
        """Every term of the objective for each network, and their sum as `loss`."""
        stream = self.get_buffer("stream")
        data = [torch.stack(part)[stream] for part in zip(*map(self._inputs, step), strict=True)]
        weights = dict(zip(self.names, self.stacked, strict=True))
        weights |= {name: self.get_buffer(f"state_{i}") for i, name in enumerate(self.buffer_names)}
        projections = [self.get_buffer(f"projection_{i}") for i in range(self.n_sites)]
        with sdpa_kernel(SDPBackend.MATH):  # the other kernels have no batching rule
            return vmap(self._losses, randomness="different")(weights, projections, *data)

    def _inputs(self, batch: InterchangeBatch) -> tuple[Tensor, ...]:
        """Base, a source per variable, which rows intervene in it, and labels."""
        sources, active = [], []
        for name in self.variables:
            there = name in batch.variables
            sources.append(batch.sources[batch.source_index(name)] if there else batch.base)
            rows = torch.full((len(batch),), there, device=batch.base.device)
            if there and batch.intervened is not None:
                rows = batch.intervened[:, batch.variables.index(name)]
            active.append(rows)
        nothing = batch.base.new_empty((0, *batch.base.shape))
        stacked = torch.stack(sources) if sources else nothing
        rows = torch.stack(active) if active else nothing.new_empty((0, len(batch)), dtype=torch.bool)
        return batch.base, stacked, rows, batch.base_label, batch.counterfactual_label

    def _losses(
        self,
        weights: Mapping[str, Tensor],
        projections: Sequence[Tensor],
        base: Tensor,
        sources: Tensor,
        active: Tensor,
        base_label: Tensor,
        counterfactual_label: Tensor,
    ) -> dict[str, Tensor]:
        named = {f"model.{name}": value for name, value in weights.items()}
        plain, intervened = functional_call(self._one[0], named, (base, sources, active, projections))
        return self.objective(Observed(plain, intervened, base_label, counterfactual_label))

    def training_step(self, chunk: list[Step], batch_idx: int) -> None:
        """The optimiser steps of one chunk of batches."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        scheduler = self.lr_schedulers()
        for step in chunk:
            losses = self.losses(step)
            self.manual_backward(losses["loss"].sum())
            if self.gradient_clip is not None:
                self._clip(self.gradient_clip)
            optimizer.step()
            optimizer.zero_grad()
            if scheduler is not None:
                scheduler.step()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
            for name, value in losses.items():
                self._sums[name] = self._sums.get(name, 0) + value.detach().mean()
            self._summed += 1
            if self._summed >= self.log_every:
                self._log_losses()

    def _clip(self, largest: float) -> None:
        """As `clip_grad_norm_` does to each network alone."""
        gradients = [parameter.grad for parameter in self.stacked if parameter.grad is not None]
        squares = [gradient.flatten(1).square().sum(1) for gradient in gradients]
        scale = (largest / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

    def _log_losses(self) -> None:
        means = {f"train/{name}": float(total) / self._summed for name, total in self._sums.items()}
        self._sums, self._summed = {}, 0
        self.log_dict(means, batch_size=1, logger=False)
        for logger in self.trainer.loggers:
            logger.log_metrics(means, step=self.global_step)

    def on_train_epoch_end(self) -> None:
        """Log what has gathered since the last time."""
        if self._summed:
            self._log_losses()

    def on_train_end(self) -> None:
        """Give the networks their weights."""
        self.hand_back()

    @torch.no_grad()
    def hand_back(self) -> None:
        """Copy each member's weights into its network."""
        for i, member in enumerate(self.members):
            own = dict(member.model.named_parameters())
            for name, value in zip(self.names, self.stacked, strict=True):
                own[name].copy_(value[i])

    def configure_optimizers(self) -> Any:
        """The optimiser over the stacked weights, and the scheduler, stepped once per optimiser step."""
        optimizer = self._build_optimizer(list(self.stacked))
        if self._build_scheduler is None:
            return optimizer
        return [optimizer], [{"scheduler": self._build_scheduler(optimizer), "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the generators' states and the losses not yet logged."""
        checkpoint["generators"] = processes.generator_states(self.device)
        checkpoint["losses"] = {"sums": dict(self._sums), "steps": self._summed}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember what `on_fit_start` has to go on with."""
        self._resumed = checkpoint["generators"]
        self._sums, self._summed = dict(checkpoint["losses"]["sums"]), checkpoint["losses"]["steps"]

    def on_fit_start(self) -> None:
        """Go on with the checkpoint's generators."""
        if self._resumed is not None:
            processes.set_generator_states(self._resumed, self.device)
