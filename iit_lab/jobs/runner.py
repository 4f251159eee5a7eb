"""From a composed config to a finished record."""

import logging
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from iit_lab.config import ConfigError
from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.build import build
from iit_lab.jobs.reporting import summary
from iit_lab.jobs.targets import about, at, check_targets
from iit_lab.results.record import fingerprint, read_config, read_result, write_config, write_result

log = logging.getLogger(__name__)


def start(config: DictConfig) -> float | None:
    """Run the job of a command line; a mistake in the config is one line and exit code 1."""
    hydra = HydraConfig.get()
    try:
        metrics = execute(config, Path(hydra.runtime.output_dir), tuple(hydra.overrides.task))
    except ConfigError as error:
        log.error("%s", error)
        sys.exit(1)
    wanted = config.optimized_metric
    return None if wanted is None else metrics.get(wanted)


def execute(
    config: DictConfig, directory: Path, overrides: tuple[str, ...] = (), *, show: bool = True
) -> Mapping[str, float]:
    """Check a config, claim its directory, run its job and write the record.

    Args:
        config: composed.
        directory: of the run; one that already holds this very run is not run again.
        overrides: as typed.
        show: whether to log the results of a run that is already finished.

    Returns:
        The record's metrics.

    Raises:
        ConfigError: for anything wrong in the config, before anything is written.
    """
    run = Run(config, directory, overrides)
    plain = resolve(run)
    check_targets(plain)
    with at("job"):
        job: Job = build(config.job)
    if not job.recorded:
        job.perform(run)
        _remove_if_empty(directory)
        return {}
    run = job.effective(run)
    plain = run.plain
    if finished := _finished(directory, plain, rerun=config.rerun):
        if show:
            log.info("%s: already finished; rerun=true does it again\n%s", directory, summary(finished))
        return finished
    _claim(directory, plain, overrides, rerun=config.rerun)
    handler = _open_log(directory)
    began = time.monotonic()
    try:
        outcome = job.perform(run)
        assert outcome is not None
        timing = {**outcome.timing, "total": time.monotonic() - began}
        write_result(directory, plain, list(overrides), outcome.metrics, timing, outcome.files, outcome.notes)
        log.info("record: %s", directory / "result.json")
        return outcome.metrics
    except Exception:
        log.info("unfinished: %s", directory)
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def resolve(run: Run) -> dict[str, Any]:
    """The run's config as plain data.

    Raises:
        ConfigError: for a missing value or a reference to nothing.
    """
    try:
        missing = OmegaConf.missing_keys(run.config)
        if missing:
            raise ConfigError(f"{sorted(missing)[0]}=???: a value is needed")
        return run.plain
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error


def _finished(directory: Path, plain: Mapping[str, Any], *, rerun: bool) -> Mapping[str, float] | None:
    """Metrics of this very run, if the directory holds it.

    Raises:
        ConfigError: if it holds another run.
    """
    if not (directory / "config.json").exists():
        if (directory / "result.json").exists():
            raise ConfigError(f"hydra.run.dir={directory}: holds a result.json that is not of this run")
        return None
    with about("hydra.run.dir", directory):
        recorded = read_config(directory)
        if recorded["fingerprint"] != fingerprint(plain):
            differing = ", ".join(differences(recorded["config"], plain)[:6])
            raise ValueError(f"holds a different run, they differ in {differing}; name another folder")
        if rerun or not (directory / "result.json").exists():
            return None
        return read_result(directory)["metrics"]


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Dotted keys at which two plain configs differ, apart from those outside the fingerprint."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(set(one) | set(other))
        return [
            found
            for key in keys
            if fingerprint({key: one.get(key)}) != fingerprint({key: other.get(key)})
            for found in differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [path]


def _claim(directory: Path, plain: Mapping[str, Any], overrides: tuple[str, ...], *, rerun: bool) -> None:
    (directory / "result.json").unlink(missing_ok=True)
    if rerun:
        shutil.rmtree(directory / "checkpoints", ignore_errors=True)
    write_config(directory, plain, list(overrides))


def _open_log(directory: Path) -> logging.Handler:
    handler = logging.FileHandler(directory / "iit_lab.log")
    handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] %(message)s"))
    logging.getLogger().addHandler(handler)
    return handler


def _remove_if_empty(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return
