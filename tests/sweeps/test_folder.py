"""Finding a sweep and its cells."""

import subprocess
import sys

import pytest

from iit_lab.sweeps.folder import cells, find_sweep


@pytest.fixture
def outputs(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "sweeps" / name).mkdir(parents=True)
    (tmp_path / "sweeps" / "file").write_text("")
    return tmp_path


def test_a_sweep_is_found_by_its_name_or_its_path(outputs):
    assert find_sweep(outputs, "a") == outputs / "sweeps" / "a"
    assert find_sweep(str(outputs), "a") == outputs / "sweeps" / "a"
    assert find_sweep("elsewhere", str(outputs / "sweeps" / "b")) == outputs / "sweeps" / "b"


@pytest.mark.parametrize("name", ["c", "file"])
def test_an_unknown_sweep_is_named_beside_those_there_are(outputs, name):
    with pytest.raises(
        ValueError, match=f"^sweep={name}: there is no such sweep in .*sweeps; there are: a, b$"
    ):
        find_sweep(outputs, name)


def test_a_sweep_must_be_named(outputs):
    with pytest.raises(ValueError, match="^sweep=null: name the sweep; in .*sweeps there are: a, b$"):
        find_sweep(outputs, None)


def test_outputs_without_sweeps(tmp_path):
    with pytest.raises(ValueError, match="^sweep=a: there is no such sweep in .*; there are none$"):
        find_sweep(tmp_path / "missing", "a")


def test_cells_are_direct_visible_folders_with_a_config(tmp_path):
    for name in ("two", "one", ".hidden", "deep/inner"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "tables").mkdir()
    (tmp_path / "config.json").write_text("{}")
    assert cells(tmp_path) == [tmp_path / "one", tmp_path / "two"]


def test_neither_torch_nor_hydra_nor_pandas_is_imported():
    code = "import sys, iit_lab.sweeps.folder, iit_lab.results.record as r; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "iit_lab.results.record" in loaded.split()
    assert not {"torch", "hydra", "omegaconf", "pandas", "matplotlib"} & set(loaded.split())


def test_a_grid_counts_as_the_cells_inside_it(tmp_path):
    for name in ("alone", "grid", "grid/cells/layer-0", "grid/cells/layer-1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
    inside = tmp_path / "grid" / "cells"
    assert cells(tmp_path) == [tmp_path / "alone", inside / "layer-0", inside / "layer-1"]
    assert cells(inside) == [inside / "layer-0", inside / "layer-1"]
