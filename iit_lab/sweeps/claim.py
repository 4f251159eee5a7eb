"""One process at a time works on a run: a claim that ends with its owner, also on shared file systems."""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import SoftFileLease, Timeout

log = logging.getLogger(__name__)

LEASE_S = 60.0
"""A claim from another machine that is not renewed for so long is void; owners renew thrice as often."""
DEAD = 5
"""Leases after which, by the file's own date, nobody needs to watch a claim any longer to call it void."""
PATIENCE_S = 2.0
MARKER = ".claim"


class ClaimedError(RuntimeError):
    """Another process works on this run."""


class LostClaimError(RuntimeError):
    """This process was stopped for so long that another has taken the run over."""


class Claim:
    """A held claim.

    Args:
        lease: taken.
    """

    def __init__(self, lease: SoftFileLease) -> None:
        self._lease = lease

    def check(self) -> None:
        """Make sure that it is still held, before something is written that others rely on.

        Raises:
            LostClaimError: if it is not.
        """
        if self._lease.compromise is not None or not self._lease.is_lock_held_by_us:
            directory = Path(self._lease.lock_file).parent
            raise LostClaimError(f"{directory}: another process has taken this run over")


@contextmanager
def claim(directory: Path, *, wait: bool = False) -> Iterator[Claim]:
    """Claim a run's directory, which is made if need be.

    The claim is a file that names the process. On the same machine it is void as soon as that process is
    gone; one from another machine is void if nobody has renewed it for `LEASE_S` seconds, by this machine's
    own clock.

    Args:
        directory: of the run.
        wait: for as long as another process holds it.

    Raises:
        ClaimedError: if another process holds it and `wait` is not set.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lease = _lease(directory)
    _acquire(lease, directory, wait=wait)
    try:
        yield Claim(lease)
    finally:
        lease.release()


def claimed(directory: Path) -> bool:
    """Whether some process seems to work on a run at this moment."""
    if not (directory / MARKER).exists():
        return False
    lease = _lease(directory)
    _bury(lease, directory)
    try:
        lease.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lease.release()
    return False


def _lease(directory: Path) -> SoftFileLease:
    return SoftFileLease(
        str(directory / MARKER),
        lease_duration=LEASE_S,
        on_compromise=lambda loss: log.error("%s: the claim was lost (%s)", directory, loss.reason),
    )


def _acquire(lease: SoftFileLease, directory: Path, *, wait: bool) -> None:
    """Take the lease, or give up once its owner is known to be alive."""
    _bury(lease, directory)
    began, seen, told = time.monotonic(), _renewed(directory), False
    while True:
        try:
            lease.acquire(timeout=PATIENCE_S, poll_interval=0.05)
            return
        except Timeout:
            owner = lease.owner
        here = owner is not None and owner.hostname == _this_machine()
        alive = here or _renewed(directory) != seen or time.monotonic() - began > 2 * LEASE_S
        where = "this machine" if here else owner.hostname if owner else "some machine"
        who = f"process {owner.pid if owner else '?'} on {where}"
        if alive and not wait:
            raise ClaimedError(f"{directory}: {who} works on it") from None
        if not told:
            log.info("%s: waiting for %s", directory, who)
            told = True


def _bury(lease: SoftFileLease, directory: Path) -> None:
    """Remove a claim that is so old that its owner must be gone, whatever machine it was on.

    An owner who lives all the same, behind a clock that is far off, finds out before it writes its record.
    """
    try:
        marker = (directory / MARKER).stat()
    except OSError:
        return
    age = time.time() - marker.st_mtime
    empty = marker.st_size == 0  # its owner was killed before it could write its name
    if age > DEAD * LEASE_S or (empty and age > LEASE_S):
        log.warning("%s: its owner has not been heard of for long, its claim is void", directory)
        lease.force_break()


def _renewed(directory: Path) -> int | None:
    try:
        return (directory / MARKER).stat().st_mtime_ns
    except OSError:
        return None


@cache
def _this_machine() -> str:
    """The name that this machine's claims carry; two containers may share a host's name, but not this one."""
    with tempfile.TemporaryDirectory() as folder, SoftFileLease(str(Path(folder) / MARKER)) as lease:
        assert lease.owner is not None
        return lease.owner.hostname
