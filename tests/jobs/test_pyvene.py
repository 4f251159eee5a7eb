"""`job=evaluate job.pyvene=FOLDER` and `job=export`: pyvene's files through the command line."""

import json

import pytest
import torch

from iit_lab.subspaces.rotation import basis_of_pyvene

SUMS = ("experiment=sum_das_grid", "debug=fast", "alignment=whole_site", "alignment.layer=1")
SUMS += ("~intervention.ranks", "intervention.rank=5", "requires.network.job.max_steps=5")
EQUALITY = ("experiment=equality_das", "debug=fast")


def evaluate(launch, run, folder, *more, **where):
    arguments = ("job=evaluate", f"job.run={run}", f"job.pyvene={folder}", "logger=csv", *more)
    return launch(*arguments, **{"directory": "evaluated", **where})


@pytest.mark.parametrize("arguments", [SUMS, EQUALITY], ids=["GPT-2", "perceptron"])
def test_what_was_exported_scores_the_same(launch, arguments):
    trained = launch(*arguments, "logger=csv", directory="trained")
    exported = launch("job=export", "job.run=trained", directory="unused")
    assert "written: trained/pyvene" in exported.output
    assert {path.name for path in (trained.directory / "pyvene").iterdir()} >= {"config.json"}
    found = evaluate(launch, "trained", "trained/pyvene")
    own = {key: value for key, value in trained.metrics.items() if key.startswith("test/")}
    assert found.metrics == pytest.approx(own, abs=0.011)  # a row in a hundred may be on the edge
    again = launch("job=export", "job.run=evaluated", "job.to=again", directory="unused")
    for path in (trained.directory / "pyvene").glob("*.bin"):
        first, second = torch.load(path), torch.load(again.directory.parent / "again" / path.name)
        bases = [basis_of_pyvene(state) for state in (first, second)]
        torch.testing.assert_close(bases[1], bases[0], atol=1e-5, rtol=0)


def test_bad_folders_are_one_line_and_harm_nothing(launch, tmp_path):
    trained = launch(*EQUALITY, "logger=csv", directory="trained")
    launch("job=export", "job.run=trained", directory="unused")
    before = {path: path.read_bytes() for path in trained.directory.rglob("*") if path.is_file()}
    refused = launch("job=export", "job.run=trained", directory="unused", code=1)
    assert "job.to=trained/pyvene: trained/pyvene: is not empty" in refused.output
    missing = evaluate(launch, "trained", "nowhere", code=1)
    assert "job.pyvene=nowhere: has no config.json" in missing.output
    both = evaluate(launch, "trained", "trained/pyvene", "intervention=vanilla", code=1)
    assert "intervention: comes from job.pyvene=trained/pyvene and may not be named as well" in both.output
    one = evaluate(launch, "trained", "trained/pyvene", "alignment.variables=[left_equality]", code=1)
    assert "is of 2 variables, ['left_equality'] were named" in one.output
    config = json.loads((trained.directory / "pyvene" / "config.json").read_text())
    for entry in config["representations"]:
        entry[0] = 7
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config))
    for path in (trained.directory / "pyvene").glob("*.bin"):
        (other / path.name.replace("layer_0", "layer_7")).write_bytes(path.read_bytes())
    deeper = evaluate(launch, "trained", other, code=1)
    assert "alignment.layer=7: " in deeper.output and "layers 0..2" in deeper.output
    assert {path: path.read_bytes() for path in before} == before
    assert all("Traceback" not in each.output for each in (refused, missing, both, one, deeper))


def test_a_folder_of_another_network_is_refused(launch):
    launch(*EQUALITY, "logger=csv", directory="trained")
    launch("job=export", "job.run=trained", directory="unused")
    narrow = ("model.network.hidden=[12,12,12]", "intervention.rank=4")
    launch(*EQUALITY, *narrow, "logger=csv", directory="narrow")
    refused = evaluate(launch, "narrow", "trained/pyvene", code=1)
    assert "is of 16 units, layer0.block_output of" in refused.output or "rank=8" in refused.output


def test_a_run_without_an_alignment_has_nothing_to_export(launch):
    launch("experiment=equality_behaviour", "debug=fast", "logger=csv", directory="behaviour")
    refused = launch("job=export", "job.run=behaviour", directory="unused", code=1)
    assert "job.run=behaviour: holds no alignment.safetensors" in refused.output
