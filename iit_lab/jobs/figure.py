"""`job=figure`: a metric of a sweep over two keys, drawn."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.sweep_runs import caption, dotted, finished_runs, sweep_folder
from iit_lab.jobs.targets import at
from iit_lab.results import figures
from iit_lab.results.groups import grid

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figure(Job):
    """Write `<metric>-<kind>.png` and `.pdf` into the sweep's `figures/`.

    Args:
        kind: heatmap, or lines with a band of ± 1 standard deviation.
        rows: key of the heatmap's rows, or of the x axis; in full or its end.
        columns: key of its columns, or of the lines.
        metric: name of the metric.
        where: key -> the value that runs must have there; null for all runs.
        over: keys, or last parts of keys, to average over.
        vmin: lower end of the colour scale, or of the y axis.
        vmax: its upper end.
    """

    kind: Literal["heatmap", "lines"] = "heatmap"
    rows: str = "alignment.layer"
    columns: str = "intervention.rank"
    metric: str = "test/iia"
    where: Mapping[str, Any] | None = None
    over: Sequence[str] = ("seed",)
    vmin: float = 0.0
    vmax: float = 1.0

    recorded: ClassVar[bool] = False

    def perform(self, run: Run) -> None:
        """Draw and save."""
        folder = sweep_folder(run)
        frame = finished_runs(folder).frame
        where = dotted(self.where)
        with at("job"):
            if not self.vmin < self.vmax:
                raise ValueError(f"vmin={self.vmin}: is not below vmax={self.vmax}")
            grid(frame, self.rows, self.columns, self.metric, where, self.over)  # errors name the job's keys
        draw = {"heatmap": figures.heatmap, "lines": figures.lines}[self.kind]
        figure = draw(
            *(frame, self.rows, self.columns, self.metric, self.over, where, self.vmin, self.vmax),
            title=caption(run, self.metric, self.where),
        )
        name = f"{self.metric.replace('/', '-')}-{self.kind}"
        for path in figures.save(figure, folder / "figures" / name):
            log.info("figure: %s", path)
