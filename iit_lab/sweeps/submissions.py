"""Which cells wait or run in SLURM: what was submitted, and what `squeue` says of it."""

import logging
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from iit_lab.results.files import read_json, write_json

log = logging.getLogger(__name__)

FOLDER = ".submissions"
PENDING = ("PENDING", "REQUEUED", "CONFIGURING", "REQUEUE_HOLD", "SUSPENDED")


def announce(sweep: Path, cells: Sequence[str]) -> str:
    """Write down, before they are submitted, which cells an array of jobs is made of.

    Args:
        sweep: its directory.
        cells: names; the n-th is the array's task n.

    Returns:
        The name that the jobs must have, by which `waiting` finds them.
    """
    name = f"iit_lab-{secrets.token_hex(6)}"
    write_json(
        sweep / FOLDER / f"{name}.json",
        {"cells": list(cells), "time": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
    )
    return name


def withdraw(sweep: Path, name: str) -> None:
    """Forget what was announced but could not be submitted."""
    (sweep / FOLDER / f"{name}.json").unlink(missing_ok=True)


def waiting(sweep: Path, names: Sequence[str] | None = None) -> dict[str, str]:
    """Cells that SLURM has in its queue.

    Args:
        sweep: its directory.
        names: of submissions; None for all of the sweep's.

    Returns:
        Cell name -> `queued` or `running`; nothing where nothing was submitted.

    Raises:
        RuntimeError: if something was submitted and `squeue` does not answer.
    """
    files = sorted((sweep / FOLDER).glob("*.json"))
    announced = {f.stem: _cells(f) for f in files if names is None or f.stem in names}
    if not announced:
        return {}
    found = {}
    for identity, name, state in _queue(sorted(announced)):
        cells = announced[name]
        index = int(identity.partition("_")[2] or 0)
        if index < len(cells):
            found[cells[index]] = "queued" if state in PENDING else "running"
    return found


def _cells(file: Path) -> list[str]:
    """What a submission is made of; nothing if it was withdrawn meanwhile."""
    try:
        return read_json(file)["cells"]
    except (ValueError, KeyError) as error:
        log.warning("%s: %s", file, error)
        return []


def _queue(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(job, job name, state) of every task in the queue that bears one of the names."""
    if shutil.which("squeue") is None:
        raise RuntimeError("cells of this sweep were submitted to SLURM, and squeue is not found here")
    command = ["squeue", "--noheader", "--array", "--format=%i|%j|%T", f"--name={','.join(names)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError("squeue: no answer for two minutes") from error
    if done.returncode != 0:
        raise RuntimeError(f"squeue: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    rows = [tuple(line.strip().split("|")) for line in done.stdout.splitlines() if line.strip()]
    return [(job, name, state) for job, name, state in rows]
