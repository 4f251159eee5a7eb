"""A grid leaves what its cells would have left alone."""

import csv
import json
from pathlib import Path

import pytest

from iit_lab.results.record import read_config, read_result
from iit_lab.sweeps.failures import FAILURES

FAST = ("experiment=equality_das", "logger=csv", "counterfactual.n_train=6000", "counterfactual.n_val=300")
FAST += ("counterfactual.n_test=500", "requires.network.counterfactual.n_train=3000", "job.min_accuracy=null")
FAST += ("requires.network.counterfactual.n_val=300", "requires.network.job.max_epochs=1")
FAST += (
    "job.batch_size=100",
    "job.max_epochs=2",
    "job.log_every=1",
    "optimizer.lr=0.01",
    "job.steps_per_call=7",
)
GRID = (*FAST, "alignment=grid", "alignment.layers=[0,1]", "intervention.ranks=[1,4]")


def logged(directory: Path, name: str) -> list[float]:
    (file,) = directory.glob("csv/attempt-*/metrics.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    return [float(row[name]) for row in rows if row.get(name)]


@pytest.fixture
def both(launch):
    grid = launch(*GRID, directory="grid")
    alone = launch(*FAST, "alignment.layer=1", "intervention.rank=4", directory="alone")
    return grid, grid.directory / "cells" / "layer-1_rank-4", alone


def test_a_cell_agrees_with_a_run_of_its_own(both):
    grid, cell, alone = both
    assert sorted(path.name for path in (grid.directory / "cells").iterdir()) == [
        f"layer-{layer}_rank-{rank}" for layer in (0, 1) for rank in (1, 4)
    ]
    own, other = read_result(cell), alone.result
    assert own["fingerprint"] == other["fingerprint"]
    losses = logged(cell, "train/interchange"), logged(alone.directory, "train/interchange")
    assert len(losses[0]) == len(losses[1]) == 120
    assert losses[0][:50] == pytest.approx(losses[1][:50], abs=1e-4)
    assert logged(cell, "val/iia") == pytest.approx(logged(alone.directory, "val/iia"), abs=0.01)
    assert set(own["metrics"]) == set(other["metrics"])
    assert own["metrics"] == pytest.approx(other["metrics"], abs=0.01)
    assert set(own["timing"]) >= {"fit", "evaluate", "total"}
    assert set(own["files"]) == set(other["files"])
    assert own["overrides"][-2:] == ["alignment.layer=1", "intervention.rank=4"]
    for name in (*own["files"].values(), "config.json"):
        assert (cell / name).resolve().exists(), name
    assert "layer-1_rank-4: iia" in grid.output
    assert set(grid.metrics) == {"test/accuracy"}
    for name in grid.result["files"].values():
        assert (grid.directory / name).exists(), name
    assert not list(grid.directory.glob("stacks/*"))


def test_finished_cells_are_left_alone(both, launch):
    grid, cell, _ = both
    (grid.directory / "result.json").unlink()
    (cell / "result.json").unlink()
    kept = grid.directory / "cells" / "layer-0_rank-1" / "result.json"
    before = kept.stat().st_mtime_ns, read_result(grid.directory / "cells" / "layer-0_rank-1")
    again = launch(*GRID, directory="grid")
    assert "3 of 4 cells are finished" in again.output
    assert (kept.stat().st_mtime_ns, read_result(kept.parent)) == before
    assert (cell / "result.json").exists()
    # one made anew on request
    launch(*GRID, "rerun=true", directory="grid")
    assert kept.stat().st_mtime_ns != before[0]
    assert read_result(kept.parent)["metrics"] == before[1]["metrics"]
    assert not (grid.directory / "superseded").exists()


def test_an_interrupted_stack_goes_on_where_it_was(launch, monkeypatch):
    import iit_lab.training.grid as module

    expected = launch(*GRID, directory="expected")
    saved = module.GridModule._accumulate
    steps = 0

    def stop(self, losses):
        nonlocal steps
        steps += 1
        if steps == 200:  # in the second layer
            raise RuntimeError("power cut")
        saved(self, losses)

    monkeypatch.setattr(module.GridModule, "_accumulate", stop)
    often = "callbacks.checkpoint.every_s=0.000001"
    assert "power cut" in launch(*GRID, often, directory="grid", code=1).output
    resumed = launch(*GRID, often, directory="grid")
    assert "resuming from" in resumed.output
    assert steps < 200 + 120  # the second layer was not begun again
    for cell in sorted((expected.directory / "cells").iterdir()):
        there = resumed.directory / "cells" / cell.name
        assert read_result(there)["metrics"] == read_result(cell)["metrics"]
        assert logged(there, "train/loss") == pytest.approx(logged(cell, "train/loss"))


def test_memory_bounds(both, launch):
    """Without room for the cache activations are computed anew; the numbers are the same."""
    grid, _, _ = both
    tight = launch(*GRID, "hardware.memory_gb=0.0007", directory="tight")
    for cell in (grid.directory / "cells").iterdir():
        found = read_result(tight.directory / "cells" / cell.name)["metrics"]
        assert found == pytest.approx(read_result(cell)["metrics"], abs=0.01)
    refused = launch(*GRID, "hardware.memory_gb=0.00001", directory="none", code=1)
    assert "hardware.memory_gb=1e-05: alignment.layer=0, intervention.rank=1 takes" in refused.output
    assert "raise it or lower job.batch_size" in refused.output


def test_cells_are_spread_over_processes(both, launch):
    grid, _, _ = both
    spread = launch(*GRID, "hardware=ddp_cpu", directory="spread")
    for cell in (grid.directory / "cells").iterdir():
        there = spread.directory / "cells" / cell.name
        assert read_result(there)["metrics"] == read_result(cell)["metrics"]
    assert (spread.directory / "result.json").exists()


def test_early_stopping_is_each_cells_own(launch):
    settings = ("job.max_epochs=6", "job.patience=1", "job.monitor=val/iia", "counterfactual.n_train=600")
    grid = launch(*GRID, *settings, directory="grid")
    for layer in (0, 1):
        for rank in (1, 4):
            alone = launch(
                *(*FAST, *settings, f"alignment.layer={layer}", f"intervention.rank={rank}"),
                directory=f"alone-{layer}-{rank}",
            )
            cell = grid.directory / "cells" / f"layer-{layer}_rank-{rank}"
            assert logged(cell, "val/iia") == logged(alone.directory, "val/iia")


def test_controls_of_a_grid(launch):
    grid = launch(*GRID, "control=[none,random_subspace]", "alignment.layers=[1]", directory="grid")
    metrics = read_result(grid.directory / "cells" / "layer-1_rank-4")["metrics"]
    assert {"test/iia", "control/random_subspace/iia"} <= set(metrics)


def test_a_full_rank_is_the_full_swap(launch):
    one = ("alignment.variables=[left_equality]", "alignment.layers=[0]", "intervention.ranks=[16]")
    grid = launch(*FAST, "alignment=grid", *one, directory="grid")
    metrics = read_result(grid.directory / "cells" / "layer-0_rank-16")["metrics"]
    assert metrics["test/iia"] == metrics["test/iia_full_swap"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("alignment.layers=[0,3]",), "alignment.layers=[0, 3]: the network has layers 0..2"),
        (("alignment.layers=[]",), "alignment.layers=[]: one or more, each once"),
        (("intervention.ranks=[4,4]",), "intervention.ranks=[4, 4]: one or more, each once"),
        (("intervention.ranks=[0]",), "intervention.rank=0: the site has 16 units"),
        (("intervention.ranks=[4,9]",), "intervention.rank=9: the site has 16 units shared by 2 variables"),
        (("job.min_accuracy=1.0",), "job.min_accuracy=1.0: the network solves"),
        (("alignment.layers=[a]",), "alignment.layers=['a']: grid takes"),
    ],
)
def test_bad_grids(launch, arguments, message):
    refused = launch(*GRID, *arguments, directory="grid", code=1)
    assert message in refused.output
    assert not list(refused.directory.glob("cells/*/result.json"))


def test_a_grid_is_for_aligning(launch):
    refused = launch("alignment=grid", "experiment=equality_iit", code=1)
    assert "alignment" in refused.output


def test_several_ranks_need_a_grid(launch):
    refused = launch(*FAST, "+intervention.ranks=[1,2]", code=1)
    assert "intervention.ranks=[1, 2]: only a grid has several" in refused.output


def test_a_grid_in_a_multirun_has_its_cells_inside(launch, tmp_path):
    FAILURES.clear()
    launch("-m", "sweep=grids", *GRID, "seed=0,1")
    (first, second) = sorted((tmp_path / "outputs" / "sweeps" / "grids").glob("*/result.json"))
    assert len(list(first.parent.glob("cells/*/result.json"))) == 4
    assert read_config(second.parent / "cells" / "layer-0_rank-1")["config"]["seed"] == 1
    assert json.loads(first.read_text())["metrics"]
