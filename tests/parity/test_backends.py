"""The same interventions through both GPT-2 backends, and through pyvene on plain Hugging Face."""

from pathlib import Path

import pytest
import torch
from pyvene import IntervenableConfig, IntervenableModel, LowRankRotatedSpaceIntervention, VanillaIntervention
from transformers import GPT2Config, GPT2LMHeadModel

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel
from iit_lab.models.bridge import Bridge
from iit_lab.models.gpt2_loading import language_model
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation

VOCABULARY, POSITIONS, HEADS, LAYER, BATCH = 40, 6, 4, 1, 5
TIGHT = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 whose attention and MLPs matter: weights of ten times the usual size."""
    path = tmp_path_factory.mktemp("gpt2")
    sizes = {"n_layer": 3, "n_embd": 32, "n_head": HEADS, "n_positions": 8, "vocab_size": VOCABULARY}
    config = GPT2Config(**sizes, initializer_range=0.2, bos_token_id=0, eos_token_id=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=[language_model, Bridge], ids=["hugging face", "bridge"])
def model(request, folder) -> StagedModel:
    return request.param((POSITIONS,), VOCABULARY, generator_for(0), pretrained=str(folder)).eval()


@pytest.fixture
def batch() -> InterchangeBatch:
    tokens = torch.randint(VOCABULARY, (2, BATCH, POSITIONS), generator=generator_for(0, "tokens"))
    labels = torch.zeros(BATCH, dtype=torch.int64)
    return InterchangeBatch(tokens[0], tokens[1:], ("V",), None, labels, labels)


def pyvene_logits(folder, batch, component, unit, locations, kind=VanillaIntervention, basis=None):
    """Logits at the last position under pyvene's intervention on the plain model."""
    plain = GPT2LMHeadModel.from_pretrained(folder).eval()
    several = len(locations[0]) if unit == "pos" else 1
    where = {"layer": LAYER, "component": component, "unit": unit, "max_number_of_units": several}
    rank = {} if basis is None else {"low_rank_dimension": basis.shape[1]}
    config = IntervenableConfig([{**where, **rank}], kind)
    theirs = IntervenableModel(config, plain)
    if basis is not None:
        (intervention,) = theirs.interventions.values()
        intervention.rotate_layer.weight = basis
    there = {"sources->base": ([locations], [locations])}
    inputs = [{"input_ids": tokens.clone()} for tokens in (batch.base, batch.sources[0])]
    _, outputs = theirs(inputs[0], [inputs[1]], there)
    return outputs.logits[:, -1]


def ours(model, batch, subspace, rank=None, **where):
    alignment = place(["V"], LAYER, **where)
    intervention = Intervention(alignment, model, Interchange(), subspace, generator_for(1), rank=rank)
    return interchange(model, intervention, batch).counterfactual, intervention


@torch.no_grad()
def test_logits_are_those_of_the_plain_model(model, folder, batch):
    plain = GPT2LMHeadModel.from_pretrained(folder).eval()
    torch.testing.assert_close(model(batch.base), plain(batch.base).logits[:, -1], **TIGHT)


@pytest.mark.parametrize("positions", [list(range(POSITIONS)), [2], [1, 4]], ids=str)
@pytest.mark.parametrize("component", ["block_output", "block_input", "attention_output", "mlp_output"])
@torch.no_grad()
def test_vanilla(model, folder, batch, component, positions):
    logits, _ = ours(model, batch, IdentitySlice, component=component, position=positions)
    expected = pyvene_logits(folder, batch, component, "pos", [positions] * BATCH)
    torch.testing.assert_close(logits, expected, **TIGHT)
    assert not torch.allclose(logits, model(batch.base), atol=1e-3)


@pytest.mark.parametrize("component", ["query", "key", "value", "attention_value"])
@torch.no_grad()
def test_one_head_at_all_positions(model, folder, batch, component):
    logits, _ = ours(model, batch, IdentitySlice, component=f"{component}_output", heads=2)
    everywhere = list(range(POSITIONS))
    locations = [[[2]] * BATCH, [everywhere] * BATCH]
    expected = pyvene_logits(folder, batch, f"head_{component}_output", "h.pos", locations)
    torch.testing.assert_close(logits, expected, **TIGHT)
    assert not torch.allclose(logits, model(batch.base), atol=1e-3)


@torch.no_grad()
def test_one_head_at_one_position(model, folder, batch):
    where = {"component": "attention_value_output", "heads": 3, "position": POSITIONS - 1}
    logits, _ = ours(model, batch, IdentitySlice, **where)
    locations = [[[3]] * BATCH, [[POSITIONS - 1]] * BATCH]
    expected = pyvene_logits(folder, batch, "head_attention_value_output", "h.pos", locations)
    torch.testing.assert_close(logits, expected, **TIGHT)


@torch.no_grad()
def test_low_rank_rotation_of_all_positions_as_one_site(model, folder, batch):
    """The thesis's set-up: six positions flattened."""
    logits, intervention = ours(model, batch, LowRankRotation, rank=20, component="block_output")
    basis = intervention.subspaces[0].basis()
    everywhere = [list(range(POSITIONS))] * BATCH
    expected = pyvene_logits(
        folder, batch, "block_output", "pos", everywhere, LowRankRotatedSpaceIntervention, basis
    )
    torch.testing.assert_close(logits, expected, **TIGHT)
    assert not torch.allclose(logits, model(batch.base), atol=1e-3)


@pytest.mark.parametrize("component", ["block_output", "mlp_activation"])
@torch.no_grad()
def test_low_rank_rotation_with_a_given_basis(model, folder, batch, component):
    logits, intervention = ours(model, batch, LowRankRotation, rank=5, component=component, position=3)
    basis = intervention.subspaces[0].basis()
    expected = pyvene_logits(
        folder, batch, component, "pos", [[3]] * BATCH, LowRankRotatedSpaceIntervention, basis
    )
    torch.testing.assert_close(logits, expected, **TIGHT)
    assert not torch.allclose(logits, model(batch.base), atol=1e-3)
