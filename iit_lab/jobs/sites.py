"""`job=sites`: what can be intervened in."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.build import build_model, build_task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sites(Job):
    """List every site of the model by name, with its shape and width."""

    recorded: ClassVar[bool] = False

    def perform(self, run: Run) -> None:
        """Log the list."""
        model = build_model(run.config, build_task(run.config))
        rows = [("site", "alignment.layer", "alignment.component", "shape", "width")]
        for site in model.sites():
            shape = " x ".join(map(str, model.shapes(site.layer)[site.component]))
            rows.append((str(site), str(site.layer), site.component, shape, str(model.width(site))))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        table = "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        log.info("sites of %s\n%s", model.describe(), table)
