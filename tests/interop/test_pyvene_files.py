"""pyvene's folders: what each side has written the other loads, and both then compute the same."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import pyvene
import torch
from pyvene import IntervenableConfig, IntervenableModel
from transformers import GPT2Config, GPT2LMHeadModel

from iit_lab.alignment.alignment import Alignment, place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interop import pyvene_read, pyvene_write
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.build import build
from iit_lab.models.base import StagedModel
from iit_lab.models.gpt2_loading import language_model
from iit_lab.randomness import generator_for
from iit_lab.subspaces.boundless import BoundlessRotation
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.mask import SigmoidMask
from iit_lab.subspaces.pca import PrincipalComponents
from iit_lab.subspaces.rotation import LowRankRotation, Rotation

VOCABULARY, POSITIONS, WIDTH, HEADS, BATCH = 40, 6, 16, 4, 5
TIGHT = {"atol": 1e-5, "rtol": 0}
pytestmark = pytest.mark.filterwarnings("ignore:To copy construct from a tensor")  # of pyvene's masks
OURS = {
    "low rank": (LowRankRotation, 5),
    "rotation": (Rotation, 7),
    "vanilla": (IdentitySlice, None),
    "vanilla, first units": (IdentitySlice, 3),
    "boundless": (BoundlessRotation, None),
    "mask": (SigmoidMask, None),
    "hard mask": (partial(SigmoidMask, hard=True), None),
    "rotated mask": (partial(SigmoidMask, rotated=True), None),
    "principal components": (PrincipalComponents, 4),
}
THEIRS = {
    "LowRankRotatedSpaceIntervention": {"low_rank_dimension": 5},
    "RotatedSpaceIntervention": {},
    "VanillaIntervention": {},
    "BoundlessRotatedSpaceIntervention": {},
    "SigmoidMaskIntervention": {},
    "SigmoidMaskRotatedSpaceIntervention": {},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> GPT2LMHeadModel:
    """A GPT-2 whose attention and MLPs matter: weights of ten times the usual size."""
    sizes = {"n_layer": 3, "n_embd": WIDTH, "n_head": HEADS, "n_positions": 8, "vocab_size": VOCABULARY}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GPT2Config(**sizes, initializer_range=0.3, bos_token_id=0, eos_token_id=1)
        return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def model(plain, tmp_path_factory) -> StagedModel:
    folder = tmp_path_factory.mktemp("gpt2")
    plain.save_pretrained(folder)
    return language_model((POSITIONS,), VOCABULARY, generator_for(0), pretrained=str(folder)).eval()


def batch_of(*variables: str) -> InterchangeBatch:
    """Random prompts, a source for each variable."""
    shape = (1 + len(variables), BATCH, POSITIONS)
    tokens = torch.randint(VOCABULARY, shape, generator=generator_for(0, "tokens"))
    labels = torch.zeros(BATCH, dtype=torch.int64)
    return InterchangeBatch(tokens[0], tokens[1:], variables, None, labels, labels)


def intervention(model, alignment: Alignment, subspace, rank, seed=1) -> Intervention:
    """With nothing left as it began."""
    made = Intervention(alignment, model, Interchange(), subspace, generator_for(seed), rank=rank)
    made.calibrate(model, torch.randint(VOCABULARY, (64, POSITIONS), generator=generator_for(2)))
    made.anneal(0.2)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "logits" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator_for(3)))
    return made.eval()


@torch.no_grad()
def logits(model, made: Intervention, batch: InterchangeBatch) -> torch.Tensor:
    return interchange(model, made, batch).counterfactual


@torch.no_grad()
def pyvene_logits(theirs, batch, locations, subspaces=None) -> torch.Tensor:
    """At the last position; `locations` one for each representation."""
    sources = [{"input_ids": tokens.clone()} for tokens in batch.sources]
    if len(sources) < len(locations):
        sources *= len(locations)
    _, outputs = theirs(
        {"input_ids": batch.base.clone()},
        sources,
        {"sources->base": (locations, locations)},
        subspaces=subspaces,
    )
    return outputs.logits[:, -1]


def read(folder: Path, model: StagedModel, *variables: str, **where) -> Intervention:
    """A folder as an intervention of ours, as `job=evaluate job.pyvene=` builds it."""
    saved = pyvene_read.read(folder)
    alignment, config = pyvene_read.nodes(saved, variables)
    places = build(alignment | where, available=variables).checked(model)
    made = build(config, alignment=places, model=model, generator=generator_for(0))
    pyvene_read.load(saved, made, model)
    return made.eval()


def theirs_with(plain, kind: str, layer=1, **fields) -> IntervenableModel:
    """An intervention of pyvene's with random parameters."""
    where = {"layer": layer, "component": "block_output", "unit": "pos", "max_number_of_units": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        made = IntervenableModel(
            IntervenableConfig([{**where, **fields, **THEIRS[kind]}], getattr(pyvene, kind)), plain
        )
        (own,) = made.interventions.values()
        for name in ("mask", "masks"):
            if hasattr(own, name):
                getattr(own, name).data.normal_(0, 30)
        if hasattr(own, "intervention_boundaries"):
            own.intervention_boundaries.data.fill_(0.3)
            own.temperature.data.fill_(2.0)
    return made


def at(*positions: int) -> list[list[int]]:
    return [list(positions)] * BATCH


@pytest.mark.parametrize("positions", [(3,), tuple(range(POSITIONS))], ids=["one position", "all positions"])
@pytest.mark.parametrize("kind", OURS)
def test_pyvene_loads_what_we_write(model, plain, tmp_path, kind, positions):
    if kind in ("mask", "hard mask", "vanilla, first units") and len(positions) > 1:
        pytest.skip("pyvene's takes one position at a time, see the refusals below")
    subspace, rank = OURS[kind]
    made = intervention(model, place(["P"], 1, position=list(positions)), subspace, rank)
    pyvene_write.export(made, model, tmp_path / "folder")
    theirs = IntervenableModel.load(str(tmp_path / "folder"), plain)
    batch = batch_of("P")
    expected = logits(model, made, batch)
    torch.testing.assert_close(pyvene_logits(theirs, batch, [at(*positions)]), expected, **TIGHT)
    assert (expected - model(batch.base)).abs().max() > 0.01


@pytest.mark.parametrize("positions", [(3,), (1, 4), tuple(range(POSITIONS))], ids=str)
@pytest.mark.parametrize("kind", THEIRS)
def test_we_load_what_pyvene_writes(model, plain, tmp_path, kind, positions):
    if kind == "SigmoidMaskIntervention" and len(positions) > 1:
        pytest.skip("pyvene cannot run it on several positions")
    theirs = theirs_with(plain, kind, max_number_of_units=len(positions))
    theirs.save(str(tmp_path))
    batch = batch_of("P")
    made = read(tmp_path, model, "P", position=list(positions))
    expected = pyvene_logits(theirs, batch, [at(*positions)])
    torch.testing.assert_close(logits(model, made, batch), expected, **TIGHT)
    assert (expected - model(batch.base)).abs().max() > 0.01
    pyvene_write.export(made, model, tmp_path / "again")  # and it survives the way back
    back = IntervenableModel.load(str(tmp_path / "again"), plain)
    torch.testing.assert_close(pyvene_logits(back, batch, [at(*positions)]), expected, **TIGHT)


@pytest.mark.parametrize("kind", ["RotatedSpaceIntervention", "LowRankRotatedSpaceIntervention"])
def test_two_variables_of_pyvene_share_a_rotation(model, plain, tmp_path, kind):
    """Linked, with a partition, as in pyvene's tutorial of DAS."""
    where = {"layer": 1, "component": "block_output", "unit": "pos", "max_number_of_units": 1}
    where |= {"subspace_partition": [[0, 4], [4, 8]], "intervention_link_key": 0, "low_rank_dimension": 8}
    config = IntervenableConfig([dict(where), dict(where)], getattr(pyvene, kind))
    theirs = IntervenableModel(config, plain)
    theirs.save(str(tmp_path))
    made, batch = read(tmp_path, model, "A", "B", position=2), batch_of("A", "B")
    subspaces = [[[0]] * BATCH, [[1]] * BATCH]
    expected = pyvene_logits(theirs, batch, [at(2), at(2)], subspaces)
    torch.testing.assert_close(logits(model, made, batch), expected, **TIGHT)
    other_way = batch_of("B", "A")
    assert not torch.allclose(logits(model, made, other_way), expected, atol=1e-2)


@pytest.mark.parametrize("subspace", [Rotation, LowRankRotation])
def test_two_of_our_variables_share_a_rotation(model, plain, tmp_path, subspace):
    made = intervention(model, place(["A", "B"], 1, position=2), subspace, 4)
    pyvene_write.export(made, model, tmp_path / "folder")
    theirs = IntervenableModel.load(str(tmp_path / "folder"), plain)
    batch, subspaces = batch_of("A", "B"), [[[0]] * BATCH, [[1]] * BATCH]
    found = pyvene_logits(theirs, batch, [at(2), at(2)], subspaces)
    torch.testing.assert_close(found, logits(model, made, batch), **TIGHT)
    again = read(tmp_path / "folder", model, "A", "B", position=2)
    torch.testing.assert_close(logits(model, again, batch), found, **TIGHT)


def test_one_variable_at_several_places(model, plain, tmp_path):
    places = {"P": [{"layer": 0, "position": 1}, {"layer": 0, "position": 4}, {"layer": 2, "position": 5}]}
    made = intervention(model, place(["P"], 0, variables=places), LowRankRotation, 6)
    pyvene_write.export(made, model, tmp_path / "folder")
    theirs = IntervenableModel.load(str(tmp_path / "folder"), plain)
    batch = batch_of("P")
    expected = logits(model, made, batch)
    found = pyvene_logits(theirs, batch, [at(1), at(4), at(5)])
    torch.testing.assert_close(found, expected, **TIGHT)
    again = read(tmp_path / "folder", model, "P", variables=places)
    torch.testing.assert_close(logits(model, again, batch), expected, **TIGHT)


def test_the_first_units_of_every_position(model, plain, tmp_path):
    made = intervention(model, place(["P"], 1, position=[1, 4], units="0:5"), IdentitySlice, None)
    pyvene_write.export(made, model, tmp_path / "folder")
    theirs = IntervenableModel.load(str(tmp_path / "folder"), plain)
    batch = batch_of("P")
    expected = logits(model, made, batch)
    torch.testing.assert_close(pyvene_logits(theirs, batch, [at(1, 4)]), expected, **TIGHT)
    again = read(tmp_path / "folder", model, "P", position=[1, 4], units="0:5")
    torch.testing.assert_close(logits(model, again, batch), expected, **TIGHT)
    with pytest.raises(ValueError, match=r"swaps the first 5 units; name them: alignment.units=0:5"):
        read(tmp_path / "folder", model, "P", position=[1, 4])


@pytest.mark.parametrize(("subspace", "rank"), [(IdentitySlice, None), (LowRankRotation, 2)])
def test_one_head(model, plain, tmp_path, subspace, rank):
    where = {"component": "attention_value_output", "heads": 2, "position": 3}
    made = intervention(model, place(["P"], 1, **where), subspace, rank)
    pyvene_write.export(made, model, tmp_path / "folder")
    theirs = IntervenableModel.load(str(tmp_path / "folder"), plain)
    batch = batch_of("P")
    expected = logits(model, made, batch)
    found = pyvene_logits(theirs, batch, [[[[2]] * BATCH, at(3)]])
    torch.testing.assert_close(found, expected, **TIGHT)
    again = read(tmp_path / "folder", model, "P", **where)
    torch.testing.assert_close(logits(model, again, batch), expected, **TIGHT)


@pytest.mark.parametrize(
    ("subspace", "rank", "where", "message"),
    [
        (IdentitySlice, 4, {"variables": ["A", "B"], "position": 1}, "cannot say which units"),
        (IdentitySlice, None, {"units": "1:4"}, "first units of every position"),
        (IdentitySlice, 4, {}, "first units of every position"),
        (partial(IdentitySlice, units=range(95, -1, -1)), 4, {}, "first units of a site"),
        (LowRankRotation, 2, {"units": "0:4"}, "whole components"),
        (SigmoidMask, None, {}, "SigmoidMaskIntervention is of one head or position"),
        (BoundlessRotation, None, {"variables": ["A", "B"]}, "has one boundary"),
        (SigmoidMask, None, {"variables": ["A", "B"]}, "belongs to one variable"),
        (partial(PrincipalComponents, standardise=True), 3, {}, "standardise=True"),
        (
            LowRankRotation,
            3,
            {"component": "attention_value_output", "heads": [0, 1]},
            "one head or position",
        ),
    ],
)
def test_what_pyvene_has_no_files_for_is_refused(model, tmp_path, subspace, rank, where, message):
    made = intervention(model, place(["A", "B"], **{"layer": 1, "variables": ["A"], **where}), subspace, rank)
    with pytest.raises(ValueError, match=message):
        pyvene_write.export(made, model, tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_left_alone(model, tmp_path):
    made = intervention(model, place(["P"], 1), LowRankRotation, 3)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        pyvene_write.export(made, model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def spoilt(folder: Path, how: str) -> Path:
    """A folder of pyvene's with something wrong."""
    (weights,), config = folder.glob("intkey_*.bin"), folder / "config.json"
    text = config.read_text()
    if how == "empty":
        shutil.rmtree(folder)
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:300])
    elif how == "missing":
        weights.unlink()
    elif how == "pickle":
        torch.save({"rotate_layer": Path("a")}, weights)
    elif how == "no tensors":
        torch.save({"embed_dim": "16"}, weights)
    elif how == "another state":
        torch.save({"embed_dim": torch.tensor(16)}, weights)
    elif how == "json":
        config.write_text(text[: len(text) // 2])
    elif how == "fields":
        config.write_text(json.dumps({"sorted_keys": ["a"], "representations": 3}))
    elif how == "kind":
        config.write_text(text.replace("LowRankRotatedSpace", "Addition"))
    elif how == "partition":
        saved = json.loads(text)
        saved["representations"][0][7] = [[0, 2], [3, 5]]
        config.write_text(json.dumps(saved))
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "has no config.json"),
        ("cut", "cannot be read as tensors"),
        ("missing", "^intkey_layer_1_comp_block_output_unit_pos_nunit_1#0.bin: no such file"),
        ("pickle", "cannot be read as tensors"),
        ("no tensors", "something else than tensors"),
        ("another state", "does not fit layer1.block_output"),
        ("json", "is it cut short"),
        ("fields", "is not what pyvene writes"),
        ("kind", "AdditionIntervention has no counterpart here; .*LowRankRotatedSpaceIntervention"),
        ("partition", "must be parts of one size, one after another"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(model, plain, tmp_path, how, message):
    theirs_with(plain, "LowRankRotatedSpaceIntervention").save(str(tmp_path / "folder"))
    with pytest.raises(ValueError, match=message):
        read(spoilt(tmp_path / "folder", how), model, "P", position=3)


@pytest.mark.parametrize(
    ("variables", "where", "message"),
    [
        (("A", "B"), {"position": 3}, r"is of 1 variables, \['A', 'B'\] were named"),
        (("P",), {}, "is of 1 positions; name them in alignment.position"),
        (("P",), {"position": 3, "layer": 3}, "layer=3: .* has layers 0..2"),
        (("P",), {"position": 3, "component": "mlp_activation"}, "is of 16 units, .* has 64"),
    ],
)
def test_a_folder_of_something_else_is_refused(model, plain, tmp_path, variables, where, message):
    theirs_with(plain, "LowRankRotatedSpaceIntervention").save(str(tmp_path))
    with pytest.raises(ValueError, match=message):
        read(tmp_path, model, *variables, **where)


def test_a_vanilla_folder_of_a_wider_network_is_refused(model, plain, tmp_path):
    theirs_with(plain, "VanillaIntervention").save(str(tmp_path))
    config = tmp_path / "config.json"
    config.write_text(
        config.read_text().replace(
            '"intervention_dimensions": [\n    16', '"intervention_dimensions": [\n    32'
        )
    )
    with pytest.raises(ValueError, match="is of 32 units, .* has 16"):
        read(tmp_path, model, "P", position=3)


def test_every_kind_of_ours_is_tried_here():
    assert set(pyvene_read.kinds()) == set(THEIRS)
