"""What a sweep still has to do, from what lies in its folder."""

import json
from pathlib import Path

import pytest

from iit_lab.results import superseded
from iit_lab.results.record import read_config, read_result, write_config, write_result
from iit_lab.sweeps import failures
from iit_lab.sweeps.claim import claim
from iit_lab.sweeps.plan import Cell, describe, prepare


def cell(sweep: Path, seed: int, **changes) -> Cell:
    config = {
        "job": {"steps": 5},
        "task": {},
        "seed": seed,
        "rerun": False,
        "hardware": {"threads": 1},
        **changes,
    }
    return Cell(sweep / f"seed-{seed}", (f"seed={seed}",), config)


def finish(done: Cell) -> None:
    write_config(done.directory, done.config, list(done.overrides))
    write_result(done.directory, done.config, [], {"test/iia": 0.5}, {}, {}, [])


def test_finished_queued_and_running_cells_are_left_alone(tmp_path):
    cells = [cell(tmp_path, seed) for seed in range(5)]
    finish(cells[0])
    failures.record(cells[3].directory, "broken")
    with claim(cells[2].directory):
        todo, done = prepare(cells, {"seed-1": "queued"}, rerun=False)
    assert done == [cells[0]]
    assert todo == [cells[3], cells[4]]
    assert read_config(cells[4].directory)["config"]["seed"] == 4
    assert failures.read(cells[3].directory) is None
    assert not (cells[1].directory / "config.json").exists()


def test_a_change_outside_the_fingerprint_is_no_change(tmp_path):
    finish(cell(tmp_path, 0))
    again = cell(tmp_path, 0, hardware={"threads": 2}, logger={"csv": {}})
    assert prepare([again], {}, rerun=False) == ([], [again])


def test_a_finished_cell_of_another_config_is_refused_with_the_keys_and_nothing_is_written(tmp_path):
    finish(cell(tmp_path, 1))
    with pytest.raises(
        ValueError, match=r"seed-1: finished with another config.* job.steps \(5 -> 9\); name another"
    ):
        prepare([cell(tmp_path, 0, job={"steps": 9}), cell(tmp_path, 1, job={"steps": 9})], {}, rerun=False)
    assert not (tmp_path / "seed-0").exists()


def test_a_cell_of_another_config_is_refused_unless_it_has_failed_with_nothing_to_lose(tmp_path):
    """It may be another command's, which is about to run it."""
    begun = cell(tmp_path, 0)
    write_config(begun.directory, begun.config, [])
    changed = cell(tmp_path, 0, job={"steps": 9})
    with pytest.raises(ValueError, match="planned with another config"):
        prepare([changed], {"seed-0": "queued"}, rerun=False)
    failures.record(begun.directory, "broken")
    assert prepare([changed], {}, rerun=False) == ([changed], [])
    (begun.directory / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="begun with another config"):
        prepare([begun], {}, rerun=False)


def test_rerun_forgets_what_was_done_and_is_not_recorded(tmp_path):
    finish(cell(tmp_path, 0))
    (tmp_path / "seed-0" / "checkpoints").mkdir()
    changed = cell(tmp_path, 0, job={"steps": 9}, rerun=True)
    assert prepare([changed], {}, rerun=True) == ([changed], [])
    assert not (tmp_path / "seed-0" / "result.json").exists()
    assert not (tmp_path / "seed-0" / "checkpoints").exists()
    assert read_config(tmp_path / "seed-0")["config"]["rerun"] is False
    assert (tmp_path / "seed-0" / "superseded" / "result.json").exists()
    superseded.put_back(tmp_path / "seed-0")
    assert read_result(tmp_path / "seed-0")["config"]["job"] == {"steps": 5}
    assert not (tmp_path / "seed-0" / "superseded").exists()


@pytest.mark.parametrize("name", ["config.json", "result.json"])
def test_a_record_of_another_version_is_refused(tmp_path, name):
    finish(cell(tmp_path, 0))
    file = tmp_path / "seed-0" / name
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 7}))
    with pytest.raises(ValueError, match=f"{name}: schema_version=7, this iit_lab reads 1"):
        prepare([cell(tmp_path, 0)], {}, rerun=False)


def test_a_record_cut_short_is_refused(tmp_path):
    finish(cell(tmp_path, 0))
    (tmp_path / "seed-0" / "result.json").write_text('{"schema')
    with pytest.raises(ValueError, match="result.json: cannot be read, is it cut short"):
        prepare([cell(tmp_path, 0)], {}, rerun=False)


def test_a_record_beside_no_config_is_refused(tmp_path):
    finish(cell(tmp_path, 0))
    (tmp_path / "seed-0" / "config.json").unlink()
    with pytest.raises(ValueError, match="lies beside no config.json"):
        prepare([cell(tmp_path, 0)], {}, rerun=False)


def test_differences_show_both_values():
    assert describe({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2, "d": 4}) == [
        "a.b (1 -> 3)",
        "d (nothing -> 4)",
    ]
