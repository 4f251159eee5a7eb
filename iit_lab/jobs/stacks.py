"""Which cells of a grid are trained in one pass, and that they fit the memory."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.config import ConfigError
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.base import Run
from iit_lab.jobs.session import Problem
from iit_lab.results.record import fingerprint
from iit_lab.training.cache import Activations
from iit_lab.training.memory import available, bytes_of_cell

GIGA = 10**9
PROBE = 4
SHARE = 0.8


@dataclass(frozen=True)
class Cell:
    """A cell that is to be trained.

    Args:
        run: its own.
        problem: with its own alignment.
        intervention: fresh, then trained.
    """

    run: Run
    problem: Problem
    intervention: Intervention


def budget(run: Run, activations: Activations) -> float:
    """Bytes that this process may use: its part of `hardware.memory_gb`, or of most of what is free."""
    bound = run.config.hardware.memory_gb
    whole = SHARE * available(activations.device) if bound is None else bound * GIGA
    return whole / (run.part[1] if activations.device.type == "cpu" else 1)


def entry_stage(intervention: Intervention) -> int:
    """The stage at which the first of an intervention's sites lies."""
    return min(place.point.stage for place in intervention.places)


def place_cache(run: Run, activations: Activations, stage: int) -> None:
    """Keep every input's activation at a stage, if half of the memory holds that; else compute it anew."""
    if activations.bytes_at(stage) <= budget(run, activations) / 2:
        activations.reach(stage)
    else:
        activations.forget(stage)


def stacks(
    run: Run, cells: Sequence[Cell], activations: Activations, batch: InterchangeBatch, rows: int
) -> Iterator[list[Cell]]:
    """Cells of one layer in as few passes as the memory allows.

    Args:
        run: of the grid.
        cells: at the same sites.
        activations: at the stage where they begin.
        batch: indexed training data.
        rows: of a training batch.

    Raises:
        ConfigError: if one cell alone takes more than there is.
    """
    room = budget(run, activations) / 2
    probe = batch.rows(slice(0, PROBE)).to(activations.device)
    stack: list[Cell] = []
    taken = 0
    for cell in cells:
        before = activations.prefix(cell.intervention, probe)
        size = bytes_of_cell(activations.model, cell.intervention, probe, before, rows)
        if size > room:
            bound, config = run.config.hardware.memory_gb, cell.run.config
            raise ConfigError(
                f"hardware.memory_gb={bound}: alignment.layer={config.alignment.layer}, "
                f"intervention.rank={config.intervention.get('rank')} takes {size / GIGA:.2g} GB for a batch "
                f"of {rows}, half of the bound is {room / GIGA:.2g} GB; raise it or lower job.batch_size"
            )
        if stack and (taken + size > room or len(stack) * rows >= run.config.hardware.stack_rows):
            yield stack
            stack, taken = [], 0
        stack.append(cell)
        taken += size
    if stack:
        yield stack


def folder(run: Run, stack: Sequence[Cell]) -> Path:
    """Where a stack's checkpoints lie: the same cells find them again, others do not."""
    text = " ".join(fingerprint(cell.run.plain) for cell in stack)
    return run.directory / "stacks" / hashlib.sha256(text.encode()).hexdigest()[:12]
