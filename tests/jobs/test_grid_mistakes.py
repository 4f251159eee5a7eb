"""Grids that make no sense are refused as a single alignment would be, and nothing of them stays behind."""

import csv
import json

import pytest
import torch

from iit_lab.interventions.engine import prefix
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import Rotation
from iit_lab.training.memory import COPIES, bytes_of_cell

FAST = ("experiment=equality_das", "debug=fast", "job.min_accuracy=null")
GRID = (*FAST, "alignment=grid", "alignment.layers=[0,1]", "intervention.ranks=[2]")
SUMS = ("experiment=sum_das_grid", "debug=fast", "job.min_accuracy=null", "intervention.ranks=[5]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (*GRID, "intervention.write._target_=iit_lab.interventions.zero.Zero"),
            "intervention=zero: an ablation has no counterfactual label to train towards",
        ),
        (
            (*FAST, "intervention.write._target_=iit_lab.interventions.zero.Zero"),
            "intervention=zero: an ablation has no counterfactual label to train towards",
        ),
        (
            (*GRID, "counterfactual.train_sets=[]"),
            "counterfactual.train_sets=[]: this objective needs variables",
        ),
        (
            (*FAST, "counterfactual.train_sets=[]"),
            "counterfactual.train_sets=[]: this objective needs variables",
        ),
        (
            (*GRID, "counterfactual.test_sets=[]"),
            "counterfactual.test_sets=[]: a grid of alignments is about IIA",
        ),
        (
            (*SUMS, "alignment.layers=[2,3]", "alignment.variables={P: {layer: 0}}"),
            "alignment.variables.P.layer=0: a grid has alignment.layers; leave it out",
        ),
        (
            (*SUMS, "alignment.layers=[11]", "task/causal_model=xyz", "control=[none,wrong_model]"),
            "control=wrong_model: ArithmeticSum has no wrong model for this",
        ),
        (
            ("model=gpt2_small", "task=hierarchical_equality", "debug=fast", "intervention.rank=8"),
            "task: has no prompts, which this network reads",
        ),
        (
            ("experiment=sum_gpt2_small_train", "debug=fast", "model.network.config.n_head=0"),
            "ZeroDivisionError",
        ),
    ],
)
def test_a_mistake_is_one_line(launch, tmp_path, arguments, message):
    refused = launch(*arguments, code=1)
    assert message in refused.output
    assert "Traceback" not in refused.output
    assert not list(tmp_path.glob("run/cells/*"))


def test_a_mistake_can_be_mended_in_the_same_sweep(launch, tmp_path):
    folder = tmp_path / "more" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\ndefaults: [equality_das, {override /alignment: grid}]\n"
    text += "alignment: {layers: [0]}\nintervention: {ranks: [2]}\njob: {min_accuracy: BOUND}\n"
    mine = folder / "mine.yaml"
    command = ("--config-dir", str(folder.parent), "-m", "sweep=mine", "experiment=mine", "debug=fast")
    command += ("limit.steps=null", "job.max_steps=5", "requires.network.job.max_steps=5")
    mine.write_text(text.replace("BOUND", "0.999"))
    assert "job.min_accuracy=0.999" in launch(*command, code=1).output
    mine.write_text(text.replace("BOUND", "null"))
    launch(*command)
    assert len(list(tmp_path.glob("outputs/sweeps/mine/*/cells/*/result.json"))) == 1


def test_cells_on_several_processes_log_like_others(launch):
    """Also with W&B, which takes a process of another rank for one that must not log."""
    made = launch(*GRID, "hardware=ddp_cpu", "logger=default")
    cells = sorted((made.directory / "cells").iterdir())
    assert len(cells) == 2
    for cell in cells:
        (file,) = cell.glob("csv/attempt-*/metrics.csv")
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert any(row.get("train/loss") for row in rows) and any(row.get("val/iia") for row in rows)
        assert list(cell.glob("wandb/offline-run-*"))


def test_a_subspace_that_is_not_trained_has_its_last_temperature(launch):
    from safetensors.torch import load_file

    frozen = ("intervention=boundless", "alignment.trainable=false", "intervention.rank=null")
    grid = launch(*FAST, "alignment=grid", "alignment.layers=[0]", *frozen, directory="grid")
    alone = launch(*FAST, "alignment.layer=0", *frozen, directory="alone")
    (cell,) = (grid.directory / "cells").iterdir()
    states = [load_file(path / "alignment.safetensors") for path in (cell, alone.directory)]
    name = "subspaces.0.temperature"
    assert states[0][name] == states[1][name] == pytest.approx(0.1)
    records = [json.loads((path / "result.json").read_text()) for path in (cell, alone.directory)]
    assert records[0]["metrics"] == records[1]["metrics"]


def test_an_untrained_control_trains_no_other_cells(launch):
    made = launch(*GRID, "control=[untrained]")
    for cell in (made.directory / "cells").iterdir():
        assert not (cell / "alignment.safetensors").exists()


def test_memory_of_a_basis_does_not_grow_with_the_batch():
    from iit_lab.alignment.alignment import place
    from iit_lab.causal.batch import InterchangeBatch
    from iit_lab.models.mlp import MLP

    width = 64
    model = MLP([width, width], (8,), 2, generator_for(0)).requires_grad_(False)
    made = Intervention(place(["P"], 0), model, Interchange(), Rotation, generator_for(1), rank=4)
    inputs = torch.randn(2, 8, 8, generator=generator_for(2))
    labels = torch.zeros(8, dtype=torch.long)
    batch = InterchangeBatch(inputs[0], inputs[1:], ("P",), None, labels, labels)
    before = prefix(model, made, batch)
    small, large = (bytes_of_cell(model, made, batch, before, rows) for rows in (8, 1008))
    parameters = COPIES * width * width * 4
    per_row = (large - small) / 1000
    assert per_row < 8 * width * 4 * 4  # a few activations of a row
    assert small - parameters < 4 * width * width * 4 + 8 * per_row + 4096
