"""From a composed config to a finished record."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from iit_lab.config import ConfigError
from iit_lab.config import plain as resolved
from iit_lab.jobs import networks, processes
from iit_lab.jobs.base import Job, Outcome, Run
from iit_lab.jobs.build import build
from iit_lab.jobs.reporting import summary
from iit_lab.jobs.targets import about, at, check_targets
from iit_lab.results import superseded
from iit_lab.results.record import (
    differences,
    fingerprint,
    read_config,
    read_result,
    write_config,
    write_result,
)
from iit_lab.sweeps import failures
from iit_lab.sweeps.claim import Claim, claim

log = logging.getLogger(__name__)


def execute(run: Run, *, show: bool = True, wait: bool = False) -> Mapping[str, float]:
    """Check a config, claim its directory, run its job and write the record.

    Args:
        run: composed; if its directory already holds this very run, it is not run again.
        show: whether to log the results of a run that is already finished.
        wait: while another process works on the same run.

    Returns:
        The record's metrics.

    Raises:
        ConfigError: for anything wrong in the config, before anything is written.
        ClaimedError: if another process works on it and `wait` is not set.
    """
    submitted = resolved(run.config)
    check_targets(submitted)
    with at("job"):
        job: Job = build(run.config.job)
    if not job.recorded:
        try:
            job.perform(job.effective(run))
        finally:
            _remove_if_empty(run.directory)
        return {}
    effective = job.effective(run)
    again = run.config.rerun
    finished = _finished(effective, submitted, again=again)
    if finished is None:
        with claim(run.directory, wait=wait) as held:
            finished = _finished(effective, submitted, again=again)  # by whoever held the claim before
            if finished is None:
                _begin(run, submitted, again=again)
                return _perform(job, effective, held)
    if show:
        log.info("%s: already finished; rerun=true does it again\n%s", run.directory, summary(finished))
    return finished


def _perform(job: Job, run: Run, held: Claim) -> Mapping[str, float]:
    """Do a claimed run and write its record."""
    with _log_file(run.directory):
        began = time.monotonic()
        try:
            outcome = processes.perform(job, run)
        except ConfigError:
            superseded.put_back(run.directory)
            raise
        assert outcome is not None
        outcome.timing["total"] = time.monotonic() - began
        held.check()
        write(run, outcome)
        if outcome.files.get("network") == "network.safetensors" or "cells" in outcome.files:
            networks.offer(run)  # made by this very run
        superseded.discard(run.directory)
        failures.clear(run.directory)
        return outcome.metrics


def write(run: Run, outcome: Outcome) -> None:
    """The run's record, from which on it is finished."""
    write_result(
        run.directory,
        run.plain,
        list(run.overrides),
        outcome.metrics,
        outcome.timing,
        outcome.files,
        outcome.notes,
    )
    log.info("record: %s", run.directory / "result.json")


def _finished(run: Run, submitted: Mapping[str, Any], *, again: bool) -> Mapping[str, float] | None:
    """Metrics of this very run, if the directory holds it.

    Raises:
        ConfigError: if it holds another run.
    """
    directory = run.directory
    if not (directory / "config.json").exists():
        if (directory / "result.json").exists():
            raise ConfigError(f"hydra.run.dir={directory}: holds a result.json that is not of this run")
        return None
    with about("hydra.run.dir", directory):
        _check_same(read_config(directory), submitted)
        if again or not (directory / "result.json").exists():
            return None
        record = read_result(directory)
        _check_same(record, run.plain)
        return record["metrics"]


def _check_same(record: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if record["fingerprint"] != fingerprint(config):
        differing = ", ".join(differences(record["config"], config)[:6])
        raise ValueError(f"holds a different run, they differ in {differing}; name another folder")


def _begin(run: Run, submitted: Mapping[str, Any], *, again: bool) -> None:
    if again:
        superseded.set_aside(run.directory)
    failures.clear(run.directory)
    write_config(run.directory, submitted, list(run.overrides))


@contextmanager
def _log_file(directory: Path) -> Iterator[None]:
    """Everything that is logged goes to the run's own file too, and so does what ends it."""
    handler = logging.FileHandler(directory / "iit_lab.log")
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        log.info("unfinished: %s", directory)
        end = (type(error), error, error.__traceback__)
        handler.emit(log.makeRecord(log.name, logging.ERROR, __file__, 0, "ended by", (), end))
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return
