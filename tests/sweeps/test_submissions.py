"""Which cells SLURM has, asked through a squeue that says what we want."""

import os

import pytest

from iit_lab.results.record import write_config
from iit_lab.sweeps.claim import claim
from iit_lab.sweeps.failures import Failure, record
from iit_lab.sweeps.states import survey
from iit_lab.sweeps.submissions import announce, waiting, withdraw


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A command of that name; call it with what it shall print."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def says(text: str, code: int = 0) -> None:
        script = folder / "squeue"
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\necho no such cluster >&2\nexit {code}\n")
        script.chmod(0o755)

    return says


def test_nothing_submitted_needs_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert waiting(tmp_path) == {}


def test_tasks_of_arrays_and_single_jobs_are_found_by_the_submission_s_name(tmp_path, squeue):
    array, single, gone = (
        announce(tmp_path, ["a", "b", "c"]),
        announce(tmp_path, ["d"]),
        announce(tmp_path, ["e"]),
    )
    squeue(f"12_0|{array}|RUNNING\n12_2|{array}|PENDING\n15|{single}|COMPLETING")
    assert waiting(tmp_path) == {"a": "running", "c": "queued", "d": "running"}
    withdraw(tmp_path, gone)
    assert waiting(tmp_path, [gone]) == {}


def test_a_squeue_that_fails_is_no_empty_queue(tmp_path, squeue, monkeypatch):
    announce(tmp_path, ["a"])
    squeue("", code=1)
    with pytest.raises(RuntimeError, match="squeue: .*no such cluster"):
        waiting(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="squeue is not found"):
        waiting(tmp_path)


def test_states_of_cells(tmp_path):
    for name in ("failed", "queued", "begun"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    record(tmp_path / "failed", "it broke", "Traceback ...")
    found = {cell.directory.name: (cell.state, cell.note) for cell in survey(tmp_path, {"queued": "queued"})}
    assert found == {"failed": ("failed", "it broke"), "queued": ("queued", ""), "begun": ("unfinished", "")}
    assert Failure(tmp_path / "failed", "").log == tmp_path / "failed" / "error.json"


def test_cells_of_a_grid_share_its_fate(tmp_path):
    """A grid has one claim, one place in the queue and one failure for all the cells inside it."""
    for grid in ("queued", "running", "failed", "stopped"):
        for cell in ("one", "two"):
            write_config(tmp_path / grid / "cells" / cell, {"seed": 0}, [])
        write_config(tmp_path / grid, {"seed": 0}, [])
    record(tmp_path / "failed", "ValueError: no")
    with claim(tmp_path / "running"):
        found = survey(tmp_path, {"queued": "queued"})
    states = {(cell.directory.parent.parent.name, cell.directory.name): cell.state for cell in found}
    assert states == {
        (grid, cell): "unfinished" if grid == "stopped" else grid
        for grid in ("queued", "running", "failed", "stopped")
        for cell in ("one", "two")
    }
