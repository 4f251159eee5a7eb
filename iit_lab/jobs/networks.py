"""Networks that a run requires: made on demand under a lock, shared by all runs that need the same one."""

import logging
from pathlib import Path

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from iit_lab.config import Config
from iit_lab.jobs.base import Run
from iit_lab.jobs.targets import about
from iit_lab.results.record import fingerprint

log = logging.getLogger(__name__)


def obtain(run: Run, name: str) -> Path:
    """The directory of a required run, which is made now if nobody has made it yet.

    It lies in `outputs/networks/<fingerprint>`. The lock is released by the system when its owner dies.

    Args:
        run: that needs it; `requires.<name>` is a whole config.
        name: of the requirement.
    """
    from iit_lab.jobs.runner import execute

    plain = run.plain["requires"][name]
    with about(f"requires.{name}", plain.get("name")):
        config = OmegaConf.merge(OmegaConf.structured(Config), plain)
    assert isinstance(config, DictConfig)
    resolved = Run(config, run.directory).plain
    directory = Path(run.config.outputs) / "networks" / fingerprint(resolved)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(directory.with_suffix(".lock")):
        log.info("requires.%s: %s", name, directory)
        execute(config, directory, show=False)
    return directory
