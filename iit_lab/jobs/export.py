"""`job=export`: write the alignment of an earlier run for pyvene."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from iit_lab.config import ConfigError, typed
from iit_lab.interop import pyvene_write
from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.build import build_alignment, build_intervention, build_model, build_task
from iit_lab.jobs.targets import about, check_targets
from iit_lab.jobs.trust import check_untrusted
from iit_lab.results import artefacts
from iit_lab.results.record import read_result

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Export(Job):
    """Write an alignment as a folder that `pyvene.IntervenableModel.load` reads.

    Args:
        run: directory of a finished run that has an alignment.
        to: the folder, empty or not there yet; None for `pyvene/` in that directory.
        trust: packages outside iit_lab whose components that run's config may build.
    """

    run: str
    to: str | None = None
    trust: Sequence[str] = ()

    recorded: ClassVar[bool] = False

    def effective(self, run: Run) -> Run:
        """That run's config."""
        with about("job.run", self.run):
            recorded = read_result(Path(self.run))["config"]
        check_untrusted(recorded, str(Path(self.run) / "result.json"), tuple(self.trust))
        with about("job.run", self.run):
            merged = typed(recorded)
        merged.job = run.config.job
        changed = replace(run, config=merged)
        check_targets(changed.plain)
        return changed

    def perform(self, run: Run) -> None:
        """Load the alignment and write it."""
        directory = Path(self.run)
        if not (directory / "alignment.safetensors").is_file():
            raise ConfigError(f"job.run={self.run}: holds no alignment.safetensors; name a run of job=align")
        task = build_task(run.config)
        model = build_model(run.config, task)
        intervention = build_intervention(run.config, build_alignment(run.config, task, model), model)
        folder = Path(self.to) if self.to is not None else directory / "pyvene"
        with about("job.run", self.run):
            artefacts.load(directory, "alignment", intervention)
        with about("job.to", folder):
            try:
                pyvene_write.export(intervention, model, folder)
            except OSError as error:
                raise ValueError(f"cannot be written ({error.strerror})") from error
        log.info("written: %s", folder)
