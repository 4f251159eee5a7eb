"""One cell of a multirun: it runs as it was submitted, and its failure is its own."""

import logging
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from iit_lab.config import ConfigError, plain, typed
from iit_lab.jobs.base import Run
from iit_lab.jobs.runner import execute
from iit_lab.jobs.targets import nodes
from iit_lab.jobs.trust import check_untrusted
from iit_lab.results import superseded
from iit_lab.results.record import differences, read_config
from iit_lab.sweeps import failures
from iit_lab.sweeps.claim import ClaimedError

log = logging.getLogger(__name__)


def run_cell(run: Run) -> float | None:
    """Run a cell; Hydra would drop the other cells if this raised, so an error is recorded in its directory.

    Returns:
        The metric that `optimized_metric` names; None if it has none.
    """
    try:
        run = as_submitted(run)
        metrics = execute(run)
    except ClaimedError as error:
        log.info("left alone: %s", error)
        return None
    except ConfigError as error:
        superseded.put_back(run.directory)
        return _fail(run, str(error))
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return _fail(run, f"{type(error).__name__}: {first}")
    if not metrics and not (run.directory / "result.json").exists():
        _forget(run)
    try:
        return chosen(metrics, run.config.optimized_metric)
    except ConfigError as error:
        log.error("%s", error)
        return None


def as_submitted(run: Run) -> Run:
    """The run with the config that the launcher wrote down, also if `conf/` has changed since.

    The file may name what `conf/` names, and otherwise only what a file from outside may.
    """
    path = run.directory / "config.json"
    if not path.exists():
        return run
    recorded, composed = read_config(run.directory)["config"], plain(run.config)
    check_untrusted(recorded, str(path), tuple(str(node["_target_"]) for _, node in nodes(composed)))
    if changed := differences(recorded, composed):
        log.warning(
            "%s: conf/ has changed since this cell was submitted (%s); it runs as submitted",
            run.directory,
            ", ".join(changed[:6]),
        )
    return replace(run, config=typed(recorded))


def chosen(metrics: Mapping[str, float], wanted: str | None) -> float | None:
    """The metric that a sweeper optimises.

    Raises:
        ConfigError: if the run has no such metric.
    """
    if wanted is None or not metrics:
        return None
    if wanted not in metrics:
        raise ConfigError(f"optimized_metric={wanted}: the run has {', '.join(sorted(metrics))}")
    return metrics[wanted]


def _forget(run: Run) -> None:
    """A job that only shows something is no cell."""
    (run.directory / "config.json").unlink(missing_ok=True)
    with suppress(OSError):
        run.directory.rmdir()


def _fail(run: Run, line: str) -> None:
    log.error("%s: %s", run.directory, line)
    failures.record(run.directory, line, traceback.format_exc())
