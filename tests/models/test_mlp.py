"""The MLP, and through it the staged-model contract."""

import copy

import pytest
import torch

from iit_lab.models.base import Point
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.sites import Site


@pytest.fixture
def model() -> MLP:
    return MLP([5, 4, 3], (2, 2), 2, generator_for(0, "network"))


INPUTS = torch.randn(7, 2, 2, generator=generator_for(0, "inputs"))


def test_same_as_torch_s_sequential(model):
    parts = [torch.nn.Flatten()]
    for i, layer in enumerate(model.layers):
        plain = torch.nn.Linear(layer.in_features, layer.out_features)
        plain.load_state_dict(layer.state_dict())
        parts += [plain] if i == 3 else [plain, torch.nn.ReLU()]
    torch.testing.assert_close(model(INPUTS), torch.nn.Sequential(*parts)(INPUTS))


def test_initial_weights_are_torch_s_distribution_from_the_generator():
    first, again = (MLP([400], (300,), 2, generator_for(0)) for _ in range(2))
    weight = first.layers[0].weight
    assert torch.equal(weight, again.layers[0].weight)
    reference = torch.nn.Linear(300, 400).weight
    assert weight.std().item() == pytest.approx(reference.std().item(), rel=0.02)
    assert weight.abs().max().item() == pytest.approx(300**-0.5, rel=0.01)


@pytest.mark.parametrize("stage", range(5))
def test_a_run_cut_in_two_is_the_whole_run(model, stage):
    kept = model.run(INPUTS, stop=stage)
    torch.testing.assert_close(model.run(kept, start=stage), model(INPUTS))


def test_collect_stops_at_the_deepest_site(model):
    ran = []
    plain = model.run_stage
    model.run_stage = lambda stage, value, tap: ran.append(stage) or plain(stage, value, tap)
    model.collect(INPUTS, [Site(0, "block_output"), Site(1, "pre_activation")])
    assert ran == [0, 1]
    ran.clear()
    model.collect(INPUTS, [Site(1, "block_output")])
    assert ran == [0, 1]


def test_collected_activations_by_hand(model):
    sites = [Site(0, "pre_activation"), Site(0, "block_output", units=(4, 1))]
    collected = model.collect(INPUTS, sites)
    before = INPUTS.flatten(1) @ model.layers[0].weight.T + model.layers[0].bias
    torch.testing.assert_close(collected[sites[0]], before)
    torch.testing.assert_close(collected[sites[1]], before.relu()[:, [4, 1]])


def test_an_edit_at_a_stage_s_input_is_seen_by_what_follows(model):
    edited = model.run(INPUTS, {Point(4): torch.zeros_like})
    assert not edited.any()
    edited = model.run(INPUTS, {Point(3): torch.zeros_like})
    torch.testing.assert_close(edited, model.layers[3].bias.expand(7, 2))


def test_an_edit_within_a_stage(model):
    edited = model.run(INPUTS, {Point(1, "pre_activation"): lambda value: value - 1e6}, stop=2)
    assert not edited.any()


def test_write_replaces_its_units_and_nothing_else(model):
    activation = torch.arange(15.0).view(3, 5)
    kept = activation.clone()
    written = model.write(activation, Site(0, "block_output", units=(1, 3)), -torch.ones(3, 2))
    assert written.tolist() == [[0, -1, 2, -1, 4], [5, -1, 7, -1, 9], [10, -1, 12, -1, 14]]
    assert torch.equal(activation, kept)


def test_sites_and_widths(model):
    assert [str(site) for site in model.sites() if site.component == "block_output"] == [
        "layer0.block_output",
        "layer1.block_output",
        "layer2.block_output",
    ]
    assert model.width(Site(1, "block_output")) == 4
    assert model.width(Site(1, "block_output", units=(0, 2))) == 2


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(3, "block_output"), "layer=3: mlp 5-4-3 has layers 0..2"),
        (Site(0, "attention"), "component=attention: layer 0 of mlp 5-4-3 has"),
        (Site(1, "block_output", units=(4,)), "units=4: layer 1 block_output of mlp 5-4-3 has units 0..3"),
        (Site(1, "block_output", positions=(0,)), "position=0: mlp 5-4-3 has no positions"),
        (Site(1, "block_output", heads=(0,)), "heads=0: block_output has no heads"),
    ],
)
def test_a_site_outside_the_network_is_refused(model, site, message):
    with pytest.raises(ValueError, match=message):
        model.check(site)


def test_a_copy_is_a_network_of_its_own(model):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.layers[0].weight.zero_()
        twin.layers[0].bias.zero_()
    assert model.run(INPUTS, stop=1).any()
    assert not twin.run(INPUTS, stop=1).any()


@pytest.mark.parametrize("hidden", [[], [4, 0]])
def test_no_layer_or_an_empty_one_is_refused(hidden):
    with pytest.raises(ValueError, match="hidden="):
        MLP(hidden, (4,), 2, generator_for(0))


def test_a_site_before_the_start_cannot_be_read(model):
    kept = model.run(INPUTS, stop=2)
    assert model.collect(kept, [Site(1, "block_output")], start=2)
    with pytest.raises(ValueError, match="start=2: a site lies before that stage"):
        model.collect(kept, [Site(0, "block_output")], start=2)
