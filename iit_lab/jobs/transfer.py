"""`job=transfer`: alignments under each causal model of a family, tested under the others.

The sanity check and the wrong-graph ablation of the DAS thesis (Pislar 2024).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from iit_lab.analysis import positions
from iit_lab.analysis.transfer import Trial
from iit_lab.config import ConfigError
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import build_alignment, build_intervention, build_model, build_task, load_network
from iit_lab.jobs.family import Family
from iit_lab.jobs.layers import all_cells
from iit_lab.jobs.lightning import find_device
from iit_lab.jobs.session import Problem, Session
from iit_lab.jobs.stacks import entry_stage, place_cache
from iit_lab.jobs.targets import about
from iit_lab.jobs.transfer_report import report
from iit_lab.results import artefacts
from iit_lab.training.cache import Activations
from iit_lab.training.evaluation import INTERCHANGE

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transfer(Family):
    """Trial alignments under several causal models.

    Args:
        trained_on: members of the family that are aligned; None for all.
        tested_on: `all`, or `same`: every alignment only under its own model.
        reference: the member that the network was trained on, for a summary of how far it is ahead; None if
            there is none.
        seeds: of alignments, and of the networks where these follow; None for the run's own.
    """

    trained_on: Sequence[str] | None = None
    tested_on: Literal["all", "same"] = "all"
    reference: str | None = None
    seeds: Sequence[int] | None = None

    def prepare(self, run: Run) -> None:
        """Make the alignments."""
        self._grids(run)

    def spreads(self, run: Run) -> bool:
        """The alignments are made on all devices, the tests are few: one process does them."""
        return True

    def perform(self, run: Run) -> Outcome:
        """Align, test, and draw the matrices."""
        if run.part[1] > 1:
            return Outcome({})
        grids = self._grids(run)
        tests: list[Trial] = []
        for seed in self._seeds(run):
            for tested in self.models:
                chosen = {
                    trained: path
                    for (trained, own), path in grids.items()
                    if own == seed and (self.tested_on == "all" or trained == tested)
                }
                if chosen:
                    tests += self._test(run, self.member(run, tested, seed), tested, chosen)
        return report(run, tests, same=self.tested_on == "same", reference=self.reference)

    def _seeds(self, run: Run) -> list[int]:
        return [run.config.seed] if self.seeds is None else list(self.seeds)

    def _grids(self, run: Run) -> dict[tuple[str, int], Path]:
        """Directories of the grids, by causal model and seed.

        Raises:
            ConfigError: for what is no family.
        """
        self.check(run)
        names = self.named(self.trained_on, "trained_on")
        seeds = self._seeds(run)
        if not seeds or len(set(seeds)) != len(seeds):
            raise ConfigError(f"job.seeds={seeds}: one or more, each once")
        if self.reference is not None:
            self.named([self.reference], "reference")
        return {(name, seed): self.grid(run, name, seed) for seed in seeds for name in names}

    def _test(self, run: Run, member: Run, tested: str, grids: Mapping[str, Path]) -> Iterator[Trial]:
        """Every alignment of the grids under one causal model."""
        cells, device = all_cells(member), find_device(run.config.hardware)
        config = cells[0].config
        task = build_task(config)
        model = build_model(config, task)
        inside = [cell.directory.relative_to(member.directory) for cell in cells]
        load_network(model, next(iter(grids.values())) / inside[0], "job.fit")
        log.info("tested on %s: %d alignments", tested, len(cells) * len(grids))
        session = Session(cells[0], self.eval_batch_size)
        data = session.draw(task, build_alignment(config, task, model), model)
        splits = {"test": data.test, **data.beside}
        model.to(device).eval().requires_grad_(False)
        groups = [group for several in splits.values() for group in several]
        session.activations = Activations(model, groups, self.eval_batch_size, device)
        for cell, place in zip(cells, inside, strict=True):
            alignment = build_alignment(cell.config, task, model)
            intervention = build_intervention(cell.config, alignment, model)
            place_cache(member, session.activations, entry_stage(intervention))
            for trained, folder in grids.items():
                with about("job.fit", folder / place):
                    artefacts.load(folder / place, "alignment", intervention)
                metrics = positions.of_intervention(model, intervention) if trained == tested else {}
                for split, wanted in splits.items():
                    found = session.evaluate(
                        Problem(task, model, alignment, data), intervention, wanted
                    ).metrics
                    metrics |= {f"{split}/{name}": found[name] for name in INTERCHANGE if name in found}
                layer, rank = cell.config.alignment.layer, cell.config.intervention.get("rank")
                yield Trial(trained, tested, layer, rank, cell.config.seed, metrics)
