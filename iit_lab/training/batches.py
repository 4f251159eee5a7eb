"""Batches drawn by index from tensors, as a function of the seed and the position alone.

A DataLoader that collates example by example would cost more than a tiny network's step.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.randomness import generator_for
from iit_lab.training import processes

Chunk = list[InterchangeBatch]
"""Batches of consecutive optimiser steps."""


class TrainingBatches:
    """Shuffled batches, several per item: one item is one `training_step` of `chunk` optimiser steps.

    All rows of a batch come from one group (one set of variables); the groups' batches are shuffled among
    each other. The order depends on (seed, epoch) only, so a run that stops and resumes sees the same
    batches; rows that do not fill a batch wait for another epoch's shuffle. Where several processes do one
    run, each gets its share of every batch.

    Args:
        groups: the training data.
        batch_size: rows per batch, at most.
        seed: of the run.
        chunk: batches per item.
        epochs: how often the data are gone through.
        max_steps: stop after so many batches in all; None for no limit.

    Raises:
        ValueError: if any size is below 1, or a batch has no row for some process.
    """

    def __init__(
        self,
        groups: Sequence[InterchangeBatch],
        batch_size: int,
        seed: int,
        chunk: int,
        epochs: int,
        max_steps: int | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("max_epochs", epochs), ("steps_per_call", chunk)):
            if value < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if max_steps is not None and max_steps < 1:
            raise ValueError(f"max_steps={max_steps}: must be at least 1")
        self.groups, self.seed, self.chunk = tuple(groups), seed, chunk
        self.batch_size = min(batch_size, min(len(group) for group in groups))
        if self.batch_size < processes.world():
            raise ValueError(f"batch_size={batch_size}: {processes.world()} processes share a batch")
        whole = sum(len(group) // self.batch_size for group in groups)
        self.steps_per_epoch = min(whole, max_steps or whole)
        self.total_steps = min(max_steps or 2**62, epochs * self.steps_per_epoch)
        self.step = 0

    @property
    def epochs(self) -> int:
        """Passes over the data, the last one possibly in part."""
        return -(-self.total_steps // self.steps_per_epoch)

    def __len__(self) -> int:
        """Items of the current epoch."""
        epoch = min(self.step // self.steps_per_epoch, self.epochs - 1)
        return -(-self._steps_of(epoch) // self.chunk)

    def _steps_of(self, epoch: int) -> int:
        return min(self.steps_per_epoch, self.total_steps - epoch * self.steps_per_epoch)

    @property
    def share(self) -> float:
        """This process's share of a batch, times the number of processes: 1 if all have the same."""
        own = len(range(processes.rank(), self.batch_size, processes.world()))
        return own * processes.world() / self.batch_size

    def order(self, epoch: int) -> list[tuple[int, Int[Tensor, " batch"]]]:
        """(group, rows) of every batch of an epoch."""
        generator = generator_for(self.seed, "batches", epoch)
        batches = []
        for i, group in enumerate(self.groups):
            rows = torch.randperm(len(group), generator=generator)
            full = len(group) // self.batch_size * self.batch_size
            batches += [(i, part) for part in rows[:full].split(self.batch_size)]
        mixed = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[i] for i in mixed][: self._steps_of(epoch)]

    def __iter__(self) -> Iterator[Chunk]:
        """Items from the current position to the end of its epoch."""
        epoch, done = divmod(self.step, self.steps_per_epoch)
        order = self.order(epoch)
        for start in range(done, len(order), self.chunk):
            picked = order[start : start + self.chunk]
            self.step += len(picked)
            yield [self.groups[group].rows(processes.share(rows)) for group, rows in picked]

    def state_dict(self) -> dict[str, Any]:
        """The position, for Lightning's checkpoint."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's position."""
        self.step = int(state["step"])


class EvaluationBatches:
    """All rows of all groups, in order; a group's batches differ by one row at most.

    Where several processes do one run, each gets its own rows of every batch, possibly none, and no row is
    given out twice.

    Args:
        groups: the data.
        batch_size: rows per batch, at most.
    """

    def __init__(self, groups: Sequence[InterchangeBatch], batch_size: int) -> None:
        self.groups, self.batch_size = tuple(groups), batch_size

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups)

    def __iter__(self) -> Iterator[InterchangeBatch]:
        for group in self.groups:
            for rows in self.rows(len(group)):
                yield group.rows(rows)

    def rows(self, total: int) -> list[slice]:
        """This process's rows of each batch of a group of `total` rows."""
        parts = -(-total // self.batch_size)
        bounds = [total * i // parts for i in range(parts + 1)]
        return [slice(i + processes.rank(), j, processes.world()) for i, j in pairwise(bounds)]
