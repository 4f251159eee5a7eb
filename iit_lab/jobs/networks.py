"""Networks that a run requires: made on demand under a lock, shared by all runs that need the same one."""

import logging
import os
from contextlib import suppress
from pathlib import Path

from iit_lab.config import typed
from iit_lab.jobs.base import Run
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
    from iit_lab.jobs.runner import execute

    plain = run.plain["requires"][name]
    with about(f"requires.{name}", plain.get("name")):
        config = typed(plain)
        config.hardware.devices, config.hardware.strategy = 1, "auto"  # made before processes are started
    directory = _directory(Run(config, run.directory))
    if directory.is_symlink() and not directory.exists():
        directory.unlink()  # to a run that has been deleted
    log.info("requires.%s: %s", name, directory)
    execute(Run(config, directory), show=False, wait=True)
    return directory


def offer(run: Run) -> None:
    """Let a finished training run be found by whoever requires the same network."""
    directory = _directory(run)
    if directory.exists() or directory.is_symlink():
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # somebody else was faster, or the file system has no links
        directory.symlink_to(os.path.relpath(run.directory, directory.parent), target_is_directory=True)


def _directory(run: Run) -> Path:
    return Path(run.config.outputs) / "networks" / fingerprint(run.plain)
