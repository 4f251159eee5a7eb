"""Variables at several sites and layers, and how far each source then runs."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import interchange, prefix
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice

VARIABLES = ("left", "right")
N = 8
BASE, FIRST, SECOND = torch.randn(3, N, 4, generator=generator_for(0, "inputs"))


class Recording(MLP):
    """An MLP that notes how often each stage ran, on how many sets of N rows."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.ran: list[int] = []
        self.calls: list[int] = []

    def run_stage(self, stage, value, tap):
        self.ran += [stage] * (len(value) // N)
        self.calls.append(stage)
        return super().run_stage(stage, value, tap)


@pytest.fixture
def model() -> Recording:
    return Recording([6, 6, 6], (4,), 3, generator_for(0, "network"))


def build(model, **where) -> Intervention:
    return Intervention(place(VARIABLES, **where), model, Interchange(), IdentitySlice, generator_for(1))


def batch(variables=VARIABLES, sources=(FIRST, SECOND)) -> InterchangeBatch:
    label = torch.zeros(N, dtype=torch.long)
    return InterchangeBatch(BASE, torch.stack(sources), variables, None, label, label)


def layers_of(model, inputs, change=lambda layer, value: value):
    """Outputs of the hidden layers and the logits of a plain run."""
    values = []
    for i, layer in enumerate(model.layers):
        inputs = torch.nn.functional.linear(inputs, layer.weight, layer.bias)
        if i < 3:
            inputs = change(i, inputs.relu())
        values.append(inputs)
    return values


@torch.no_grad()
def test_a_variable_at_sites_of_two_layers(model):
    """Each site is taken from the source's own run, not from what the earlier swap made of it."""
    places = {"left": [{"layer": 0, "units": "0:3"}, {"layer": 2, "units": "4:6"}]}
    found = interchange(model, build(model, layer=0, variables=places), batch(("left",), (FIRST,)))
    source = layers_of(model, FIRST)

    def swap(layer, value):
        value = value.clone()
        if layer == 0:
            value[:, 0:3] = source[0][:, 0:3]
        if layer == 2:
            value[:, 4:6] = source[2][:, 4:6]
        return value

    torch.testing.assert_close(found.counterfactual, layers_of(model, BASE, swap)[-1], atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_order_of_variables_need_not_be_that_of_layers(model):
    places = {"left": {"layer": 2, "units": "0:2"}, "right": {"layer": 0, "units": "3:6"}}
    found = interchange(model, build(model, layer=0, variables=places), batch())
    sources = [layers_of(model, inputs) for inputs in (FIRST, SECOND)]

    def swap(layer, value):
        value = value.clone()
        if layer == 2:
            value[:, 0:2] = sources[0][2][:, 0:2]
        if layer == 0:
            value[:, 3:6] = sources[1][0][:, 3:6]
        return value

    torch.testing.assert_close(found.counterfactual, layers_of(model, BASE, swap)[-1], atol=1e-6, rtol=0)


@torch.no_grad()
def test_disjoint_units_of_one_layer_from_two_sources(model):
    places = {"left": {"units": "0,2,4"}, "right": {"units": "5,1"}}
    found = interchange(model, build(model, layer=1, variables=places), batch())
    sources = [layers_of(model, inputs)[1] for inputs in (FIRST, SECOND)]

    def swap(layer, value):
        value = value.clone()
        if layer == 1:
            value[:, [0, 2, 4]] = sources[0][:, [0, 2, 4]]
            value[:, [1, 5]] = sources[1][:, [1, 5]]
        return value

    torch.testing.assert_close(found.counterfactual, layers_of(model, BASE, swap)[-1], atol=1e-6, rtol=0)


LEFT_EARLY = {"left": {"layer": 0}, "right": {"layer": 2}}
WITHIN = {"left": {"layer": 1, "component": "pre_activation"}}


@pytest.mark.parametrize(
    ("where", "given", "runs"),
    [
        # runs of each stage: by sources, plus the base's, once up to the first edit and once after it
        ({"layer": 0, "variables": LEFT_EARLY}, batch(), [2 + 1, 1 + 1, 1 + 1, 1]),
        ({"layer": 0, "variables": LEFT_EARLY}, batch(sources=(FIRST,)), [1 + 1, 1 + 1, 1 + 1, 1]),
        ({"layer": 2, "variables": {"left": {}}}, batch(("left",), (FIRST,)), [1 + 1, 1 + 1, 1 + 1, 1]),
        ({"layer": 1, "variables": WITHIN}, batch(("left",), (FIRST,)), [1 + 1, 1 + 1, 1, 1]),
    ],
    ids=["two layers", "two layers, shared source", "one site", "within a stage"],
)
def test_no_run_goes_further_than_it_must(model, where, given, runs):
    interchange(model, build(model, **where), given)
    assert [model.ran.count(stage) for stage in range(4)] == runs


def test_the_base_runs_once_before_the_first_edit_though_its_logits_are_wanted(model):
    intervention = build(model, layer=0, variables=LEFT_EARLY)
    interchange(model, intervention, batch(), want_base=True)
    assert [model.ran.count(stage) for stage in range(4)] == [2 + 1, 1 + 2, 1 + 2, 2]


def test_sources_of_one_site_run_together(model):
    places = {"left": {"units": "0:3"}, "right": {"units": "3:6"}}
    interchange(model, build(model, layer=1, variables=places), batch(), want_base=True)
    assert [model.calls.count(stage) for stage in range(4)] == [2, 2, 1, 1]


def test_without_variables_only_the_base_runs(model):
    outputs = interchange(model, build(model, layer=0, variables=LEFT_EARLY), batch((), (FIRST,)))
    assert model.ran == [0, 1, 2, 3]
    assert outputs.counterfactual is None
    torch.testing.assert_close(outputs.base, layers_of(model, BASE)[-1])


def test_sources_that_send_no_gradient_are_out_of_the_graph(model):
    intervention = build(model, layer=0, variables=LEFT_EARLY)
    kept = prefix(model, intervention, batch(), source_grad=False)
    assert kept.base.requires_grad
    assert not any(activation.requires_grad for activation in kept.sources.values())
