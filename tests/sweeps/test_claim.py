"""Claims: one owner at a time, void when the owner is gone, here or on another machine."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from iit_lab.sweeps import claim as module
from iit_lab.sweeps.claim import MARKER, ClaimedError, LostClaimError, claim, claimed

HOLD = """
import sys, time
from pathlib import Path
from iit_lab.sweeps.claim import claim
with claim(Path(sys.argv[1])):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a claim on `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_claim_excludes_others_and_ends(tmp_path):
    with claim(tmp_path / "run") as held:
        held.check()
        assert claimed(tmp_path / "run")
    assert not claimed(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []


def test_the_owner_is_named(tmp_path, holder):
    with (
        pytest.raises(ClaimedError, match=f"process {holder.pid} on this machine works on it"),
        claim(tmp_path),
    ):
        pass
    assert claimed(tmp_path)


def test_a_claim_dies_with_its_owner(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / MARKER).exists()
    began = time.monotonic()
    with claim(tmp_path):
        assert time.monotonic() - began < module.PATIENCE_S
    assert not claimed(tmp_path)


def test_waiting_ends_when_the_owner_does(tmp_path, holder):
    def end() -> None:
        holder.kill()
        holder.wait()  # a process that nobody has waited for still counts as alive

    threading.Timer(0.5, end).start()
    with claim(tmp_path, wait=True) as held:
        held.check()


def _from_another_machine(folder: Path) -> Path:
    """A claim as a process on another machine would have left it."""
    with claim(folder):
        text = (folder / MARKER).read_text()
    (folder / MARKER).write_text(re.sub(r"host=\S+", "host=elsewhere", text))
    return folder / MARKER


def test_a_claim_from_another_machine_that_nobody_renews_is_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEASE_S", 1.0)
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)
    _from_another_machine(tmp_path)
    assert claimed(tmp_path)
    began = time.monotonic()
    with claim(tmp_path):
        assert time.monotonic() - began >= 0.9


def test_a_claim_that_another_machine_renews_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEASE_S", 1.0)
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)
    marker = _from_another_machine(tmp_path)
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.1):
            os.utime(marker)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(ClaimedError, match="on elsewhere works on it"), claim(tmp_path):
            pass
    finally:
        stop.set()
        thread.join()


def test_a_claim_that_is_very_old_is_void_at_once(tmp_path):
    marker = _from_another_machine(tmp_path)
    os.utime(marker, (0, 0))
    assert not claimed(tmp_path)
    marker = _from_another_machine(tmp_path)
    os.utime(marker, (0, 0))
    began = time.monotonic()
    with claim(tmp_path) as held:
        held.check()
        assert time.monotonic() - began < module.PATIENCE_S


@pytest.mark.parametrize("text", ["", "filelock/2\npid=1", "nonsense"])
def test_a_claim_that_was_cut_short_is_void(tmp_path, text):
    (tmp_path / MARKER).write_text(text)
    os.utime(tmp_path / MARKER, (time.time() - 2 * module.LEASE_S,) * 2)
    with claim(tmp_path) as held:
        held.check()


def test_an_owner_who_was_overtaken_notices_before_it_writes(tmp_path):
    with claim(tmp_path) as held:
        marker = tmp_path / MARKER
        text = marker.read_text()
        marker.unlink()
        marker.write_text(re.sub(r"host=\S+", "host=elsewhere", text))
        with pytest.raises(LostClaimError, match="another process has taken this run over"):
            held.check()
    assert "elsewhere" in marker.read_text(), "the claim of the other must stay"
