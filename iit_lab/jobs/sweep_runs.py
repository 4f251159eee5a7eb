"""The finished runs of the sweep that a command line names."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iit_lab.config import ConfigError
from iit_lab.jobs.base import Run
from iit_lab.results.collect import Collection, collect
from iit_lab.results.differing import leaves
from iit_lab.sweeps.folder import find_sweep

log = logging.getLogger(__name__)


def sweep_folder(run: Run) -> Path:
    """Where the sweep lies.

    Raises:
        ConfigError: if `sweep` names none.
    """
    try:
        return find_sweep(run.config.outputs, run.config.sweep)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def read_runs(directory: Path) -> Collection:
    """All runs of a sweep; says how many, and warns of each record that cannot be read."""
    found = collect(directory)
    for problem in found.problems:
        log.warning("%s", problem)
    counts = f"{len(found.frame)} runs, {found.unfinished} unfinished, {len(found.problems)} unreadable"
    log.info("sweep %s: %s", directory, counts)
    return found


def finished_runs(directory: Path) -> Collection:
    """As `read_runs`.

    Raises:
        ConfigError: if there is no finished run.
    """
    found = read_runs(directory)
    if found.frame.empty:
        raise ConfigError(f"sweep={directory.name}: has no finished run yet")
    return found


def dotted(where: Mapping[str, Any] | None) -> dict[str, Any]:
    """`job.where` with dotted keys: `+job.where.alignment.layer=0` nests them."""
    return dict(leaves(where or {}))


def caption(run: Run, metric: str, where: Mapping[str, Any] | None) -> str:
    """What a table or figure shows: `test/iia of sweep NAME, layer=0`."""
    fixed = "".join(f", {key}={value}" for key, value in dotted(where).items())
    return f"{metric} of sweep {Path(run.config.sweep).name}{fixed}"
