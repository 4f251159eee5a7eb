"""`job=disentangle`: for which inputs does each causal model of a family hold?

The disentangling graphs of the DAS thesis (Pislar 2024).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from iit_lab.analysis import graphs, pairs
from iit_lab.analysis.graphs import PairGraph
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.model import Setting
from iit_lab.config import ConfigError
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import (
    build_alignment,
    build_intervention,
    build_model,
    build_task,
    load_network,
    set_threads,
)
from iit_lab.jobs.disentangle_report import report
from iit_lab.jobs.disentangle_settings import Settings
from iit_lab.jobs.family import Family
from iit_lab.jobs.layers import all_cells
from iit_lab.jobs.lightning import find_device
from iit_lab.jobs.stacks import entry_stage, place_cache
from iit_lab.jobs.targets import about
from iit_lab.results import artefacts
from iit_lab.tasks.base import Task
from iit_lab.training.cache import Activations

log = logging.getLogger(__name__)
SAY_S = 20.0
"""Seconds between two lines about how far it is."""


@dataclass(frozen=True)
class Disentangle(Family):
    """Make the graph of each causal model and layer, then look for cliques and tell inputs apart.

    Args:
        rank: of the alignments, one of `intervention.ranks`; None if there is one only.
        rows: pairs at once; more on a GPU.
        settings: of what is done with the graphs, see `disentangle_report.Settings`.
    """

    rank: int | None = None
    rows: int = 512
    settings: Mapping[str, object] = field(default_factory=dict)

    def prepare(self, run: Run) -> None:
        """Make the alignments."""
        self._members(run)

    def spreads(self, run: Run) -> bool:
        """Each device makes some of the graphs."""
        return True

    def perform(self, run: Run) -> Outcome:
        """Make the graphs that are not there; one process then looks at all of them."""
        settings = Settings.of(self.settings)
        members = self._members(run)
        first = next(iter(members.values()))[0][0]
        task = build_task(first.config)
        inputs = _inputs(task, run)
        self._make(run, members, inputs)
        if run.part[1] > 1:
            return Outcome({})
        found = {
            (name, cell.config.alignment.layer): graphs.load(_file(run, name, cell))
            for name, several in members.items()
            for cell, _ in several
        }
        hypotheses = {name: build_task(several[0][0].config) for name, several in members.items()}
        right = {
            name: pairs.labels(own.causal_model, inputs, own.variables).numpy()
            for name, own in hypotheses.items()
        }
        return report(run, found, right, inputs, settings)

    def _members(self, run: Run) -> dict[str, list[tuple[Run, Path]]]:
        """Of each causal model: its cells with the directories of their alignments, made now if need be.

        Raises:
            ConfigError: for what is no family, another layer, or several ranks of which none is named.
        """
        self.check(run)
        settings, cells = Settings.of(self.settings), {}
        for name in self.models:
            cells[name] = all_cells(self.member(run, name))
            ranks = list(dict.fromkeys(cell.config.intervention.get("rank") for cell in cells[name]))
            if (self.rank is None and len(ranks) > 1) or (self.rank is not None and self.rank not in ranks):
                raise ConfigError(f"job.rank={self.rank}: one of intervention.ranks={ranks}")
            rank = ranks[0] if self.rank is None else self.rank
            cells[name] = [cell for cell in cells[name] if cell.config.intervention.get("rank") == rank]
            settings.check([cell.config.alignment.layer for cell in cells[name]])
        grids = {name: self.grid(run, name) for name in self.models}
        return {
            name: [(cell, grids[name] / cell.directory.relative_to(run.directory)) for cell in several]
            for name, several in cells.items()
        }

    def _make(self, run: Run, members: Mapping[str, Sequence[tuple[Run, Path]]], inputs: Setting) -> None:
        """This process's graphs that are not there, layer by layer."""
        together = [
            (name, cell, folder)
            for layer in zip(*members.values(), strict=True)
            for name, (cell, folder) in zip(members, layer, strict=True)
        ]
        left = [
            (name, cell, folder)
            for name, cell, folder in together[run.part[0] :: run.part[1]]
            if not _is_there(_file(run, name, cell))
        ]
        log.info("graphs: %d of %d are to be made", len(left), len(together[run.part[0] :: run.part[1]]))
        if not left:
            return
        config, device = left[0][1].config, find_device(run.config.hardware)
        task = build_task(config)
        model = build_model(config, task)
        set_threads(run.config, model, splits=True)
        load_network(model, left[0][2], "job.fit")
        model.to(device).eval().requires_grad_(False)
        group = _group(task, inputs)
        activations = Activations(model, [group], self.eval_batch_size, device)
        indexed = activations.indexed(group)
        assert indexed is not None
        for i, (name, cell, folder) in enumerate(left):
            own = build_task(cell.config)
            alignment = build_alignment(cell.config, own, model)
            intervention = build_intervention(cell.config, alignment, model).to(device).eval()
            with about("job.fit", folder):
                artefacts.load(folder, "alignment", intervention)
            if activations.stage != entry_stage(intervention) or activations.values is None:
                place_cache(run, activations, entry_stage(intervention))
            say = partial(
                _say, f"{name}, layer {cell.config.alignment.layer} ({i + 1} of {len(left)})", [0.0]
            )
            variables = own.variables
            answers = pairs.answers(activations, intervention, indexed.to(device), variables, self.rows, say)
            right = answers.long() == pairs.labels(own.causal_model, inputs, variables)
            unmoved = activations.logits[indexed.base.to(device)].argmax(-1).tolist()
            card = {"model": name, "layer": cell.config.alignment.layer, "answers": unmoved}
            PairGraph(pairs.weights(right).numpy(), card=card).save(_file(run, name, cell))


def _inputs(task: Task, run: Run) -> Setting:
    """Every input of the task; as many as `limit.rows` says, evenly from all.

    Raises:
        ConfigError: if the task has too many to list.
    """
    if task.inputs is None:
        raise ConfigError(f"task: {type(task).__name__} has no list of all inputs, which the graphs are over")
    limit = run.config.limit.rows
    if limit is None or limit >= len(task.inputs):
        return task.inputs.setting
    rows = torch.from_numpy(np.linspace(0, len(task.inputs) - 1, limit).round().astype(np.int64))
    return task.inputs.rows(rows).setting


def _group(task: Task, inputs: Setting) -> InterchangeBatch:
    base = task.encode(inputs)
    nothing = torch.zeros(len(base), dtype=torch.long)
    return InterchangeBatch(base, base.new_empty((0, *base.shape)), (), None, nothing, nothing)


def _file(run: Run, name: str, cell: Run) -> Path:
    home = run.home or run.directory
    return home / "graphs" / f"{name}_layer-{cell.config.alignment.layer}"


def _is_there(path: Path) -> bool:
    """Whether a graph was written whole: its card is written last."""
    return path.with_name(f"{path.name}.json").exists()


def _say(what: str, last: list[float], done: int, of: int) -> None:
    """Now and then, how far a graph is and when it will be done.

    Args:
        what: the graph.
        last: when it began and when something was said last.
        done: bases.
        of: all of them.
    """
    now = time.monotonic()
    if len(last) == 1:
        last[:] = [now, now]
    began, said = last
    if now - said >= SAY_S:
        last[1] = now
        log.info("%s: %.0f %%, %.0f s to go", what, 100 * done / of, (now - began) * (of - done) / done)
