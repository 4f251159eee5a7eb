"""`job=evaluate`: score an alignment on the network of an earlier run."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from iit_lab.config import ConfigError, typed
from iit_lab.interop import pyvene_read
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.base import Job, Outcome, Run
from iit_lab.jobs.build import build_alignment, build_model, build_task, load_network, set_threads
from iit_lab.jobs.release import save_alignment
from iit_lab.jobs.reporting import log_report, result_table, save_report
from iit_lab.jobs.session import Problem, Session
from iit_lab.jobs.targets import about, check_targets
from iit_lab.jobs.trust import check_untrusted
from iit_lab.models.base import StagedModel
from iit_lab.results import artefacts
from iit_lab.results.record import read_result

log = logging.getLogger(__name__)
FROM_RUN = ("task", "model", "seed", "objective", "experiment", "control")
"""Come from the run that is scored and may not be named again."""
FROM_LINE = ("alignment", "intervention", "hardware", "counterfactual", "limit")
"""Come from the command line where named, else from that run."""


@dataclass(frozen=True)
class Evaluate(Job):
    """Score an alignment.

    Args:
        run: directory of a finished training or alignment run.
        eval_batch_size: rows at once.
        pyvene: folder in which pyvene has saved interventions, which are scored instead of that run's; which
            positions or heads they are at, and which variables they are of, the command line says.
        trust: packages outside iit_lab whose components that run's config may build.
    """

    run: str
    eval_batch_size: int = 8192
    pyvene: str | None = None
    trust: Sequence[str] = ()

    def effective(self, run: Run) -> Run:
        """That run's config, with what the command line names in its place."""
        with about("job.run", self.run):
            recorded = read_result(Path(self.run))["config"]
        check_untrusted(recorded, str(Path(self.run) / "result.json"), tuple(self.trust))
        named = [override.lstrip("+~").partition("=")[0] for override in run.overrides]
        for key in named:
            if key.partition(".")[0] in FROM_RUN:
                raise ConfigError(f"{key}: comes from job.run={self.run} and may not be named again")
        with about("job.run", self.run):
            merged = typed(recorded)
        for key in run.config:
            if str(key) not in (*FROM_RUN, *FROM_LINE):
                merged[key] = run.config[key]
        merged.control = "none"
        if self.pyvene is not None:
            self._take_over(merged, run, named)
        for key in named:
            if key == "alignment.variables" and self.pyvene is not None:
                continue
            if key in FROM_LINE:
                merged[key] = run.config[key]
            elif key.partition(".")[0] in FROM_LINE:
                OmegaConf.update(merged, key, OmegaConf.select(run.config, key))
        changed = replace(run, config=merged)
        check_targets(changed.plain)
        return changed

    def perform(self, run: Run) -> Outcome:
        """Load the network, and the run's own subspaces if they are meant; evaluate on test data."""
        task = build_task(run.config)
        model = build_model(run.config, task)
        set_threads(run.config, model)
        alignment = build_alignment(run.config, task, model)
        origin = load_network(model, self.run, "job.run")
        session = Session(run, self.eval_batch_size)
        network = os.path.relpath(origin / "network.safetensors", run.directory)
        outcome = Outcome({}, session.timing, {"network": network})
        failed = True
        try:
            problem = Problem(task, model, alignment, session.draw(task, alignment, model))
            intervention = None
            if problem.data.test[0].variables:
                intervention = session.intervention(problem)
                outcome.notes += self._load_subspaces(run, intervention, model)
                outcome.files |= save_alignment(run, intervention)
            evaluation = session.evaluate(problem, intervention)
            log_report("test", evaluation)
            outcome.files |= save_report(run.directory, evaluation)
            outcome.metrics |= {f"test/{key}": value for key, value in evaluation.metrics.items()}
            failed = False
            return outcome
        finally:
            session.close(outcome.metrics, result_table(outcome.metrics), failed=failed)

    def _take_over(self, merged: DictConfig, run: Run, named: Sequence[str]) -> None:
        """Put the alignment and intervention of pyvene's folder into a config."""
        for key in named:
            if key in ("alignment", "intervention") or key.startswith("intervention."):
                raise ConfigError(f"{key}: comes from job.pyvene={self.pyvene} and may not be named as well")
        variables = run.config.alignment.variables if "alignment.variables" in named else None
        with about("job.pyvene", self.pyvene):
            saved = pyvene_read.read(Path(str(self.pyvene)))
            names = list(variables or build_task(merged).variables)
            alignment, merged.intervention = pyvene_read.nodes(saved, names)
            places = {"variables": variables} if OmegaConf.is_dict(variables) else {}
            merged.alignment = {**alignment, **places}

    def _load_subspaces(self, run: Run, intervention: Intervention, model: StagedModel) -> list[str]:
        """pyvene's, or the run's own, if this is its own alignment; notes for the record otherwise."""
        if self.pyvene is not None:
            with about("job.pyvene", self.pyvene):
                pyvene_read.load(pyvene_read.read(Path(self.pyvene)), intervention, model)
            return []
        directory = Path(self.run)
        recorded = read_result(directory)["config"]
        own = all(run.plain[key] == recorded[key] for key in ("alignment", "intervention"))
        if own and (directory / "alignment.safetensors").is_file():
            with about("job.run", self.run):
                artefacts.load(directory, "alignment", intervention)
            return []
        if any(True for _ in intervention.parameters()):
            note = "the subspaces are random: this alignment was not trained in the run that is scored"
            log.warning(note)
            return [note]
        return []
