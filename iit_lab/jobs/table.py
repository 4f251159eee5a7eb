"""`job=table`: a metric of a sweep over two keys, as Markdown and LaTeX."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.sweep_runs import caption, dotted, finished_runs, sweep_folder
from iit_lab.jobs.targets import at
from iit_lab.results.files import replacing
from iit_lab.results.tables import pivot, to_latex, to_markdown

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Table(Job):
    """Write `<metric>.md` and `<metric>.tex` into the sweep's `tables/`.

    Args:
        rows: key of the table's rows, in full or its end.
        columns: key of its columns.
        metric: name of the metric.
        where: key -> the value that runs must have there; null for all runs.
        over: keys, or last parts of keys, to average over.
    """

    rows: str = "alignment.layer"
    columns: str = "intervention.rank"
    metric: str = "test/iia"
    where: Mapping[str, Any] | None = None
    over: Sequence[str] = ("seed",)

    recorded: ClassVar[bool] = False

    def perform(self, run: Run) -> None:
        """Log the Markdown, write both."""
        folder = sweep_folder(run)
        frame = finished_runs(folder).frame
        with at("job"):
            table = pivot(frame, self.rows, self.columns, self.metric, self.over, dotted(self.where))
        title = caption(run, self.metric, self.where)
        texts = {"md": to_markdown(table, title), "tex": to_latex(table, title)}
        for kind, text in texts.items():
            path = folder / "tables" / f"{self.metric.replace('/', '-')}.{kind}"
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            log.info("table: %s", path)
        log.info("%s", texts["md"])
