"""Claims: every form that is read, what they do to a network, and where an error is said to be."""

import pytest
import torch
from safetensors.torch import save_file

from iit_lab.alignment.alignment import Alignment
from iit_lab.alignment.sampling import Home
from iit_lab.benchmark.claims import dimensions, intervention_at, read, to_json
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.sites import Site
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import draw_splits
from iit_lab.training.evaluation import evaluate

TASK = HierarchicalEquality()
LEFT, RIGHT = TASK.variables
CPU = torch.device("cpu")


@pytest.fixture
def model():
    return MLP([16, 16, 16], TASK.input_shape, 2, generator_for(0, "network"))


@pytest.fixture
def groups():
    return draw_splits(TASK, CounterfactualPolicy(n_train=1, n_val=1, n_test=200), (LEFT, RIGHT), 0).test


def test_units_do_what_an_alignment_of_units_does(model, groups):
    claims = read({LEFT: {"layer": 0, "units": [3, 1]}, RIGHT: [{"layer": 1, "units": "4:14"}]}, model)
    sites = {
        LEFT: (Site(0, "block_output", units=(3, 1)),),
        RIGHT: (Site(1, "block_output", units=tuple(range(4, 14))),),
    }
    known = Intervention(Alignment(sites), model, Interchange(), IdentitySlice, torch.Generator())
    ours = evaluate(model, intervention_at(model, claims), groups, 100, CPU)
    theirs = evaluate(model, known, groups, 100, CPU)
    for group in groups:
        assert torch.equal(ours.predictions[group.name][1], theirs.predictions[group.name][1])
    assert dimensions(claims, (LEFT,)) == 2 and dimensions(claims, (LEFT, RIGHT)) == 12


def test_the_forms_of_a_site(model, tmp_path):
    basis = torch.linalg.qr(torch.randn(16, 3)).Q
    save_file({"columns": basis.contiguous()}, tmp_path / "mine.safetensors")
    claims = read(
        {
            LEFT: [{"layer": 0, "start": 2, "end": 4}, {"layer": 1, "units": "0:2,5"}],
            RIGHT: {"layer": 2, "basis": "mine.safetensors:columns"},
        },
        model,
        folder=tmp_path,
    )
    assert claims[LEFT] == (Home(0, (2, 3)), Home(1, (0, 1, 5)))
    torch.testing.assert_close(claims[RIGHT][0].basis, basis)
    assert read({LEFT: {"layer": 2}}, model)[LEFT] == (Home(2, tuple(range(16))),)


def test_what_is_written_is_read_back_exactly(model):
    basis = torch.linalg.qr(torch.randn(16, 3)).Q
    claims = {LEFT: (Home(0, (5, 2)), Home(2, (1,))), RIGHT: (Home(1, (), basis),)}
    again = read(to_json(claims), model)
    assert again[LEFT] == (Home(0, (2, 5)), Home(2, (1,)))
    assert torch.equal(again[RIGHT][0].basis, basis)
    assert to_json(again) == to_json(claims)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], r"^abcd=\[1\]: write variable: sites"),
        ({LEFT: []}, r"^abcd.left_equality=\[\]"),
        ({LEFT: 3}, r"^abcd.left_equality\[0\]=3: a site is"),
        ({LEFT: [{"layer": 0}, {"units": [1]}]}, r"^abcd.left_equality\[1\]=.*a site is"),
        ({LEFT: {"layer": 7}}, r"left_equality\[0\].layer=7: mlp 16-16-16 has layers 0..2"),
        ({LEFT: {"layer": "one"}}, r"left_equality\[0\].layer=one: must be a whole number"),
        ({LEFT: {"layer": True}}, r"layer=True: must be a whole number"),
        ({LEFT: {"layer": 1, "units": [16]}}, r"left_equality\[0\].units=16: .* has units 0..15"),
        ({LEFT: {"layer": 1, "units": [1, 1]}}, r"left_equality\[0\].units=\[1, 1\]: .*distinct"),
        ({LEFT: {"layer": 1, "units": "x"}}, r"left_equality\[0\].units=x"),
        ({LEFT: {"layer": 1, "units": "0:10000000000"}}, r"units=0:10000000000: the layer has units 0..15"),
        ({LEFT: {"layer": 1, "start": 4, "end": 4}}, r"left_equality\[0\].end=4: a block"),
        ({LEFT: {"layer": 1, "start": 4}}, "start and end"),
        ({LEFT: {"layer": 1, "start": 4, "end": 6, "units": [1]}}, "or start and end, or"),
        ({LEFT: {"layer": 1, "neuron": 4}}, r"left_equality\[0\].neuron=4: a site has"),
        ({LEFT: {"layer": 1, "basis": [[1.0]]}}, r"left_equality\[0\].basis: of shape \(1, 1\); 16 units"),
        ({LEFT: {"layer": 1, "basis": "x.pt:a"}}, r"basis=x.pt:a: write numbers, or FILE.safetensors"),
        ({LEFT: {"layer": 1, "basis": "x.safetensors:a"}}, r"basis=x.safetensors:a: no such file"),
        ({LEFT: {"layer": 1, "basis": "/etc/x.safetensors:a"}}, "no such file beside the submission"),
        ({LEFT: {"layer": 1, "start": 0, "end": 10**12}}, r"end=1000000000000: a block is 0 <= start"),
        ({LEFT: [{"layer": 1, "units": [1]}] * 2}, "left_equality in layer 1: its columns are dependent"),
        (
            {LEFT: {"layer": 1, "units": [1, 2]}, RIGHT: {"layer": 1, "units": "2:5"}},
            "abcd: left_equality and right_equality overlap, both have unit 2 of layer 1",
        ),
        (
            {LEFT: {"layer": 1}, RIGHT: {"layer": 1, "basis": [[1.0]] + [[0.0]] * 15}},
            "abcd: layer 1: directions: left_equality and right_equality overlap",
        ),
    ],
)  # fmt: skip
def test_errors_say_where(model, data, message):
    with pytest.raises(ValueError, match=message):
        read(data, model, "abcd")
