"""A grid of alignments of one frozen network: trained together, recorded one by one."""

import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import pytorch_lightning as pl

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs import controls
from iit_lab.jobs.base import Run
from iit_lab.jobs.build import build_alignment, build_intervention, build_objective
from iit_lab.jobs.fit import Fit
from iit_lab.jobs.lightning import (
    build_callbacks,
    find_checkpoint,
    find_device,
    make_trainer,
    run_trainer,
)
from iit_lab.jobs.reporting import result_table
from iit_lab.jobs.session import Problem, Session
from iit_lab.jobs.stacks import Cell, entry_stage, folder, place_cache, stacks
from iit_lab.results.record import write_config, write_result
from iit_lab.training.batches import EvaluationBatches
from iit_lab.training.cache import Activations
from iit_lab.training.callbacks import KeepTermination
from iit_lab.training.data import Splits
from iit_lab.training.grid import GridModule, Logged

log = logging.getLogger(__name__)
SHOWN = ("iia", "iia_noop", "iia_full_swap", "effect")


@dataclass
class Grid:
    """What the cells of a grid share.

    Args:
        job: that aligns.
        run: of the grid.
        problem: network and data; the alignment is a cell's own.
        activations: of every input.
        origin: the folder that the network came from, if any.
        names: controls.
    """

    job: Fit
    run: Run
    problem: Problem
    activations: Activations
    origin: Path | None
    names: list[str]


def open_grid(job: Fit, run: Run, cells: Sequence[Run]) -> Grid:
    """Build what the cells share, and refuse what cannot be aligned.

    Raises:
        ConfigError: as `job` does for any of the cells.
    """
    first = cells[0]
    task, model, alignment, names, origin = job.build(first)
    pl.seed_everything(first.config.seed, verbose=False)
    for cell in cells[1:]:
        build_intervention(cell.config, build_alignment(cell.config, task, model), model)
    session = Session(first, job.eval_batch_size, job.settings)
    problem = Problem(task, model, alignment, session.draw(task, alignment, model))
    job.check(first, problem, session)
    device = find_device(run.config.hardware)
    model.to(device).eval().requires_grad_(False)
    activations = Activations(model, _groups(problem.data), job.eval_batch_size, device)
    log.info("grid: %d cells to do, %d distinct inputs", len(cells), len(activations))
    return Grid(job, run, problem, activations, origin, names)


def train(grid: Grid, runs: Sequence[Run]) -> None:
    """Train and record cells, layer by layer."""
    for _, there in groupby(runs, key=lambda run: run.config.alignment.layer):
        cells = [_make(grid, run) for run in there]
        place_cache(grid.run, grid.activations, entry_stage(cells[0].intervention))
        for cell in cells:
            if not _is_trained(grid, cell.intervention):
                cell.intervention.anneal(1.0)
                _record(grid, cell, [], 0.0)
        left = [cell for cell in cells if _is_trained(grid, cell.intervention)]
        if not left:
            continue
        data = _indexed(grid)
        rows = _session(grid, left[0].run).batches(data.train).batch_size
        for stack in stacks(grid.run, left, grid.activations, data.train[0], rows):
            logged, seconds = _fit(grid, stack, data)
            for cell, history in zip(stack, logged, strict=True):
                _record(grid, cell, history, seconds)
            shutil.rmtree(folder(grid.run, stack), ignore_errors=True)


def _session(grid: Grid, run: Run) -> Session:
    return Session(run, grid.job.eval_batch_size, grid.job.settings, activations=grid.activations)


def _is_trained(grid: Grid, intervention: Intervention) -> bool:
    wanted = grid.names != ["untrained"] and build_objective(grid.run.config).needs_counterfactual
    return wanted and intervention.trainable


def _make(grid: Grid, run: Run) -> Cell:
    alignment = build_alignment(run.config, grid.problem.task, grid.problem.model)
    problem = replace(grid.problem, alignment=alignment)
    return Cell(run, problem, _session(grid, run).intervention(problem))


def _groups(data: Splits) -> list[InterchangeBatch]:
    beside = [group for groups in data.beside.values() for group in groups]
    return [*data.train, *data.val, *data.test, *beside]


def _indexed(grid: Grid) -> Splits:
    def of(groups: Sequence[InterchangeBatch]) -> tuple[InterchangeBatch, ...]:
        found = [grid.activations.indexed(group) for group in groups]
        return tuple(group for group in found if group is not None)

    data = grid.problem.data
    return Splits(of(data.train), of(data.val), of(data.test))


def _fit(grid: Grid, stack: Sequence[Cell], data: Splits) -> tuple[list[Logged], float]:
    """Train a stack of cells; what each would have logged, and its share of the time."""
    began = time.monotonic()
    session, settings = _session(grid, stack[0].run), grid.job.settings
    batches = session.batches(data.train)
    config = grid.run.config
    module = GridModule(
        grid.activations,
        [cell.intervention.to(grid.activations.device) for cell in stack],
        build_objective(config).of_frozen(),
        session.factory("optimizer"),
        session.scheduler(batches.total_steps),
        tuple(group.name for group in data.val),
        total_steps=batches.total_steps,
        monitor=settings.monitor,
        patience=settings.patience,
        gradient_clip=settings.gradient_clip,
        log_every=settings.log_every,
    )
    place = folder(grid.run, stack)
    callbacks = [KeepTermination(), *build_callbacks(config.callbacks, place)]
    trainer = make_trainer(stack[0].run.config.hardware, batches.epochs, loggers=[], callbacks=callbacks)
    validation = EvaluationBatches(data.val, max(1, grid.job.eval_batch_size // len(stack)))
    run_trainer(trainer, module, batches, validation, find_checkpoint(place))
    return module.logged, (time.monotonic() - began) / len(stack)


def _record(grid: Grid, cell: Cell, logged: Logged, seconds: float) -> None:
    """Evaluate a trained cell, run its controls, and leave the record it would have left alone."""
    began = time.monotonic()
    run = cell.run
    run.directory.mkdir(parents=True, exist_ok=True)
    write_config(run.directory, run.plain, list(run.overrides))
    session = _session(grid, run)
    session.timing["fit"] = seconds
    metrics: dict[str, float] = {}
    failed = True
    try:
        for step, values in logged:
            for logger in session.loggers:
                logger.log_metrics(values, step=step)
        main = controls.Main(lambda: cell.intervention)
        outcome = grid.job.report(run, cell.problem, session, grid.names, main, full=False)
        if grid.origin is not None:
            outcome.files["network"] = os.path.relpath(grid.origin / "network.safetensors", run.directory)
        metrics, failed = outcome.metrics, False
    finally:
        session.close(metrics, result_table(metrics), failed=failed)
    outcome.timing["total"] = seconds + time.monotonic() - began
    write_result(
        run.directory,
        run.plain,
        list(run.overrides),
        outcome.metrics,
        outcome.timing,
        outcome.files,
        outcome.notes,
    )
    names = [name for name in SHOWN if f"test/{name}" in outcome.metrics]
    found = ", ".join(f"{name} {outcome.metrics[f'test/{name}']:.3f}" for name in names)
    log.info("%s: %s", run.directory.name, found)
