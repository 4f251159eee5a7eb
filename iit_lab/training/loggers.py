"""Where metrics go besides the record: CSV always, W&B offline by default, TensorBoard as an option."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

log = logging.getLogger(__name__)

STEP = "trainer/global_step"
"""Optimiser steps so far. W&B counts from 0 again where a run resumes offline, this does not."""
SUMMARIES = {"val/iia": "max", "val/accuracy": "max", "train/loss": "min"}


@dataclass(frozen=True)
class RunInfo:
    """What a logger may want to know of a run.

    Args:
        directory: the run's.
        job: the verb.
        group: the sweep, or the experiment.
        tags: the user's.
        identity: stays the same when the run resumes.
        config: resolved.
        overrides: what was typed, by key.
    """

    directory: Path
    job: str
    group: str
    tags: Sequence[str]
    identity: str
    config: Mapping[str, Any]
    overrides: Mapping[str, str]


def csv(info: RunInfo) -> Logger:
    """`csv/attempt-N/metrics.csv` in the run's directory; a resumed run begins a new file."""
    attempt = len(list((info.directory / "csv").glob("attempt-*")))
    return CSVLogger(info.directory, "csv", f"attempt-{attempt}", flush_logs_every_n_steps=1)


def tensorboard(info: RunInfo) -> Logger:
    """TensorBoard event files in the run's directory.

    Raises:
        ValueError: if TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(info.directory, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise ValueError("needs TensorBoard: pip install 'iit-lab[tensorboard]'") from error


def wandb(
    info: RunInfo,
    mode: Literal["offline", "online", "disabled"] = "offline",
    project: str = "iit_lab",
    entity: str | None = None,
    group: str | None = None,
) -> Logger | None:
    """A W&B run; offline it needs no account, and `wandb sync` sends it later.

    Online without a key, or without a connection, it goes on offline with a warning: a run is never lost to
    its logger.

    Args:
        info: of the run.
        mode: `offline`, `online` or `disabled`.
        project: W&B project.
        entity: W&B user or team.
        group: W&B group; None for the sweep or experiment.
    """
    if mode == "disabled":
        return None
    import wandb as library

    def begin(mode: Literal["offline", "online"]):
        return library.init(
            dir=info.directory,
            project=project,
            entity=entity,
            group=group or info.group,
            name=info.directory.name,
            id=info.identity,
            job_type=info.job,
            tags=list(info.tags),
            config={**info.config, "overrides": dict(info.overrides)},
            mode=mode,
            resume="allow" if mode == "online" else None,
            settings=library.Settings(console="off", init_timeout=60, silent=True),
        )

    try:
        experiment = begin(mode)
    except library.Error as error:
        if mode == "offline":
            raise
        log.warning(
            "logger.wandb.mode=online: W&B could not be reached (%s). Set WANDB_API_KEY or run "
            "`wandb login`; this run goes on offline, send it later with `wandb sync %s/wandb/offline-run-*`",
            str(error).splitlines()[0],
            info.directory,
        )
        experiment = begin("offline")
    experiment.define_metric(STEP)
    experiment.define_metric("*", step_metric=STEP, step_sync=True)
    for name, summary in SUMMARIES.items():
        experiment.define_metric(name, summary=summary, step_metric=STEP, step_sync=True)
    return WandbLogger(experiment=experiment)


def finish(
    loggers: Sequence[Logger], metrics: Mapping[str, float], table: Sequence[Sequence[Any]], *, failed: bool
) -> None:
    """Give every logger the run's results and close it.

    Args:
        loggers: of the run.
        metrics: the record's.
        table: the results as rows, the first of which are column names; empty for none.
        failed: whether the run raised.
    """
    for logger in loggers:
        if metrics:
            logger.log_metrics(dict(metrics))
        if isinstance(logger, WandbLogger):
            run = logger.experiment
            run.summary.update(dict(metrics))
            if table:
                import wandb as library

                run.log({"results": library.Table(columns=list(table[0]), data=[list(r) for r in table[1:]])})
            run.finish(exit_code=int(failed))
        else:
            logger.finalize("failed" if failed else "success")
