"""Runs that others need: made on demand under a lock, shared by all that need the same one.

Networks lie in `outputs/networks/<fingerprint>`, grids of alignments in `outputs/alignments/<fingerprint>`.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path

from iit_lab.config import typed
from iit_lab.jobs.base import Run
from iit_lab.jobs.cells import is_grid
from iit_lab.jobs.targets import about
from iit_lab.results.record import fingerprint

log = logging.getLogger(__name__)


def obtain(run: Run, name: str) -> Path:
    """The directory of a required run, which is made now if nobody has made it yet.

    It lies in `outputs/networks/<fingerprint>`. Whoever needs it at the same time waits.

    Args:
        run: that needs it; `requires.<name>` is a whole config.
        name: of the requirement.
    """
    plain = run.plain["requires"][name]
    with about(f"requires.{name}", plain.get("name")):
        config = typed(plain)
        config.hardware.devices, config.hardware.strategy = 1, "auto"  # made before processes are started
    return make(Run(config, run.directory), f"requires.{name}")


def make(run: Run, label: str) -> Path:
    """The directory of a run that others share, which is done now if nobody has done it yet.

    Args:
        run: whole; its own directory is not used.
        label: what to call it in the log.
    """
    from iit_lab.jobs.runner import execute

    directory = _directory(run)
    if directory.is_symlink() and not directory.exists():
        directory.unlink()  # to a run that has been deleted
    log.info("%s: %s", label, directory)
    execute(Run(run.config, directory), show=False, wait=True)
    return directory


def offer(run: Run) -> None:
    """Let a finished run be found by whoever needs the same."""
    directory = _directory(run)
    if directory.exists() or directory.is_symlink():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # somebody else was faster, or the file system has no links
        directory.symlink_to(os.path.relpath(run.directory, directory.parent), target_is_directory=True)


def _directory(run: Run) -> Path:
    room = "alignments" if is_grid(run) else "networks"
    return Path(run.config.outputs) / room / fingerprint(run.plain)
