"""`job=align alignment=grid`: which cells there are, who does them, and what they found together."""

import logging
import shutil
from collections.abc import Sequence
from itertools import groupby

import pandas as pd

from iit_lab.config import ConfigError
from iit_lab.jobs import grid
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import build_model, build_policy, build_task
from iit_lab.jobs.cells import expand
from iit_lab.jobs.fit import Fit
from iit_lab.results import figures
from iit_lab.results.collect import collect
from iit_lab.results.files import replacing
from iit_lab.results.groups import keys
from iit_lab.results.record import read_result
from iit_lab.results.tables import pivot, to_markdown
from iit_lab.sweeps import plan
from iit_lab.sweeps.folder import INSIDE

log = logging.getLogger(__name__)
LAYER, RANK = "alignment.layer", "intervention.rank"


def all_cells(run: Run) -> list[Run]:
    """Every cell of a grid.

    Raises:
        ConfigError: for a layer that the network does not have, or data without interventions.
    """
    if not build_policy(run.config).test_sets:
        raise ConfigError(
            "counterfactual.test_sets=[]: a grid of alignments is about IIA; name sets of variables"
        )
    model = build_model(run.config, build_task(run.config))
    return expand(run, model.n_layers)


def align_all(job: Fit, run: Run) -> Outcome:
    """Train the cells that are not finished; then table and figures of all.

    Raises:
        ConfigError: if a cell cannot be done, or its directory holds another run.
    """
    cells = all_cells(run)
    if mine := _todo(run, cells):
        try:
            opened = grid.open_grid(job, run, mine)
        except ConfigError:
            _forget(mine)
            raise
        grid.train(opened, mine)
        shutil.rmtree(run.directory / "stacks", ignore_errors=True)
    if run.part[1] > 1:
        return Outcome({})
    return _summary(run, cells)


def _todo(run: Run, cells: Sequence[Run]) -> list[Run]:
    """This process's cells that are not finished; whole layers, where there are enough of them."""
    part, parts = run.part
    if parts > 1:
        layers = [list(group) for _, group in groupby(cells, key=lambda cell: cell.config.alignment.layer)]
        units = layers if len(layers) >= parts else [[cell] for cell in cells]
        mine = [cell for unit in units[part::parts] for cell in unit]
        return [cell for cell in mine if not (cell.directory / "result.json").exists()]
    planned = [plan.Cell(cell.directory, cell.overrides, cell.plain) for cell in cells]
    try:
        todo, done = plan.prepare(planned, {}, rerun=False)
    except ValueError as error:
        raise ConfigError(f"hydra.run.dir={run.directory}: {error}") from error
    if done:
        log.info("grid: %d of %d cells are finished", len(done), len(cells))
    left = {cell.directory for cell in todo}
    return [cell for cell in cells if cell.directory in left]


def _forget(cells: Sequence[Run]) -> None:
    """Cells that were only planned leave nothing: once the mistake is mended, they are other cells."""
    for cell in cells:
        if {path.name for path in cell.directory.iterdir()} <= {"config.json"}:
            shutil.rmtree(cell.directory)


def _summary(run: Run, cells: Sequence[Run]) -> Outcome:
    """The cells' table and figures; the grid's own record has what they share."""
    frame = collect(run.directory / INSIDE).frame
    files = {"cells": INSIDE}
    metric = "test/iia" if "test/iia" in frame else "test/effect"
    frame = _with_keys(frame, cells)
    table = to_markdown(pivot(frame, LAYER, RANK, metric), f"{metric} of {run.config.name}")
    log.info("%s", table)
    with replacing(run.directory / "grid.md") as temporary:
        temporary.write_text(table, encoding="utf-8")
    files["table"] = "grid.md"
    for kind, draw in (("heatmap", figures.heatmap), ("lines", figures.lines)):
        figure = draw(frame, LAYER, RANK, metric, title=f"{metric} of {run.config.name}")
        for path in figures.save(figure, run.directory / f"grid-{kind}"):
            files[f"{kind}_{path.suffix[1:]}"] = path.name
    record = read_result(cells[0].directory)
    shared = {key: value for key, value in record["metrics"].items() if key.endswith("/accuracy")}
    return Outcome(shared, files=files, notes=list(record["notes"]))


def _with_keys(frame: pd.DataFrame, cells: Sequence[Run]) -> pd.DataFrame:
    """A grid of one layer or one rank has a column for both all the same."""
    config = cells[0].config
    frame = frame.copy()
    for at, key, value in ((1, LAYER, config.alignment.layer), (2, RANK, config.intervention.get("rank"))):
        if key not in keys(frame):
            frame.insert(at, key, value)
    return frame
