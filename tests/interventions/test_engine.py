"""Nothing computed twice, and the same outputs as running everything naively."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import finish, full_swap, interchange, prefix
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.mean import Mean
from iit_lab.interventions.resample import Resample
from iit_lab.interventions.zero import Zero
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation

VARIABLES = ("left", "right")
N = 12


class Counting(MLP):
    """An MLP that notes which stages ran on how many rows."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.ran: list[tuple[int, int]] = []

    def run_stage(self, stage, value, tap):
        self.ran.append((stage, len(value)))
        return super().run_stage(stage, value, tap)

    def rows(self, stage: int) -> int:
        return sum(rows for ran, rows in self.ran if ran == stage)


@pytest.fixture
def model() -> Counting:
    return Counting([10, 8, 6], (4,), 3, generator_for(0, "network"))


def batch(variables=VARIABLES, shared=False, mask=False) -> InterchangeBatch:
    generator = generator_for(0, "batch")
    n_sources = 1 if shared else len(variables)
    return InterchangeBatch(
        base=torch.randn(N, 4, generator=generator),
        sources=torch.randn(n_sources, N, 4, generator=generator),
        variables=variables,
        intervened=torch.rand(N, len(variables), generator=generator) < 0.5 if mask else None,
        base_label=torch.zeros(N, dtype=torch.long),
        counterfactual_label=torch.ones(N, dtype=torch.long),
    )


def naive(model: MLP, given: InterchangeBatch, alignment, bases) -> torch.Tensor:
    """Every run from the input to the logits, swapping by hand, layer by layer."""

    def run(inputs, change):
        value = inputs
        for i, linear in enumerate(model.layers):
            value = value @ linear.weight.T + linear.bias
            if i < 3:
                value = change(i, "pre_activation", value)
                value = change(i, "block_output", value.relu())
        return value

    def record(inputs):
        seen = {}
        run(inputs, lambda i, name, value: seen.setdefault((i, name), value))
        return seen

    recorded = [record(source) for source in given.sources]

    def swap(layer, component, value):
        start = value
        for i, name in enumerate(given.variables):
            for site in alignment[name]:
                if (site.layer, site.component) != (layer, component):
                    continue
                source = recorded[0 if len(recorded) == 1 else i][layer, component]
                moved = (source - start) @ bases[name] @ bases[name].T
                if given.intervened is not None:
                    moved = moved * given.intervened[:, i : i + 1]
                value = value + moved
        return value

    return run(given.base, swap)


def slots(intervention: Intervention) -> dict[str, torch.Tensor]:
    found = {}
    for where in intervention.places:
        subspace = intervention.subspace(where)
        for name, slot in subspace.slots.items():
            found[name] = subspace.basis()[:, slot]
    return found


WHERE = {
    "one site": {"layer": 1},
    "two layers": {"layer": 0, "variables": {"left": {}, "right": {"layer": 2}}},
    "within a stage": {"layer": 1, "component": "pre_activation"},
    "both components": {"layer": 1, "variables": {"left": {"component": "pre_activation"}, "right": {}}},
}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", [{}, {"shared": True}, {"mask": True}, {"variables": ("right",)}], ids=str)
@pytest.mark.parametrize("want_base", [True, False])
@torch.no_grad()
def test_same_outputs_as_running_everything(model, where, kind, want_base):
    alignment = place(VARIABLES, **WHERE[where])
    intervention = Intervention(alignment, model, Interchange(), LowRankRotation, generator_for(1), rank=2)
    given = batch(**kind)
    outputs = interchange(model, intervention, given, want_base=want_base)
    expected = naive(model, given, intervention.alignment, slots(intervention))
    torch.testing.assert_close(outputs.counterfactual, expected, atol=1e-5, rtol=0)
    if want_base:
        torch.testing.assert_close(outputs.base, model(given.base), atol=1e-6, rtol=0)
    else:
        assert outputs.base is None


def test_sources_stop_at_their_site_and_the_base_begins_once(model):
    intervention = Intervention(
        place(VARIABLES, 1), model, Interchange(), LowRankRotation, generator_for(1), rank=2
    )
    interchange(model, intervention, batch(), want_base=True)
    assert [model.rows(stage) for stage in range(4)] == [3 * N, 3 * N, 2 * N, 2 * N]


def test_only_the_sources_of_intervened_variables_run(model):
    intervention = Intervention(
        place(VARIABLES, 0), model, Interchange(), LowRankRotation, generator_for(1), rank=2
    )
    interchange(model, intervention, batch(variables=("right",)))
    assert [model.rows(stage) for stage in range(4)] == [2 * N, N, N, N]


def test_from_a_kept_prefix_only_the_stages_after_the_site_run(model):
    intervention = Intervention(
        place(VARIABLES, 1), model, Interchange(), LowRankRotation, generator_for(1), rank=2
    )
    before = prefix(model, intervention, batch())
    model.ran.clear()
    outputs = finish(model, intervention, batch(), before)
    assert {stage for stage, _ in model.ran} == {2, 3}
    torch.testing.assert_close(
        outputs.counterfactual, interchange(model, intervention, batch()).counterfactual
    )


@pytest.mark.parametrize("source_grad", [True, False])
@pytest.mark.parametrize("where", ["one site", "two layers", "within a stage"])
def test_gradient_through_the_source_run(model, source_grad, where):
    """Against finite differences of the naive run, with the source activations kept or moving along."""
    model = model.double()
    alignment = place(VARIABLES, **WHERE[where])
    intervention = Intervention(
        alignment, model, Interchange(), LowRankRotation, generator_for(1), rank=2
    ).double()
    given = batch()
    given = InterchangeBatch(
        given.base.double(), given.sources.double(), given.variables, None, given.base_label, given.base_label
    )
    outputs = interchange(model, intervention, given, source_grad=source_grad)
    outputs.counterfactual[:, 0].sum().backward()
    weight = model.layers[0].weight
    found = weight.grad[1, 2].item()

    frozen = prefix(model, intervention, given)
    step = 1e-6

    @torch.no_grad()
    def at(delta: float) -> float:
        weight[1, 2] += delta
        if source_grad:
            logits = interchange(model, intervention, given).counterfactual
        else:
            now = prefix(model, intervention, given)
            logits = finish(
                model, intervention, given, type(now)(now.stage, now.base, frozen.sources)
            ).counterfactual
        weight[1, 2] -= delta
        return logits[:, 0].sum().item()

    assert found == pytest.approx((at(step) - at(-step)) / (2 * step), abs=1e-5)


@torch.no_grad()
def test_full_swap_of_the_last_stage_s_input_gives_the_source_s_output(model):
    alignment = place(VARIABLES, 2, variables={"left": {"units": "0:2"}, "right": {"units": "3"}})
    intervention = Intervention(alignment, model, Interchange(), IdentitySlice, generator_for(1))
    given = batch()
    swapped = full_swap(model, intervention, given)
    for source, logits in zip(given.sources, swapped, strict=True):
        torch.testing.assert_close(logits, model(source))


@torch.no_grad()
def test_inputs_are_never_changed_in_place(model):
    intervention = Intervention(
        place(VARIABLES, 0), model, Interchange(), IdentitySlice, generator_for(1), rank=3
    )
    given = batch()
    before = prefix(model, intervention, given)
    kept = [given.base.clone(), given.sources.clone(), before.base.clone()]
    finish(model, intervention, given, before, want_base=True)
    assert torch.equal(given.base, kept[0])
    assert torch.equal(given.sources, kept[1])
    assert torch.equal(before.base, kept[2])


@pytest.mark.parametrize("write", [Zero, Mean, Resample])
@torch.no_grad()
def test_ablations_by_hand(model, write):
    alignment = place(VARIABLES, 1, variables={"left": {"units": "2:5"}})
    intervention = Intervention(alignment, model, write(), IdentitySlice, generator_for(1))
    given = batch(variables=("left",))
    intervention.calibrate(model, given.base)

    hidden = given.base
    for linear in list(model.layers)[:2]:
        hidden = (hidden @ linear.weight.T + linear.bias).relu()
    written = hidden.clone()
    others = {
        "Zero": torch.zeros_like(hidden),
        "Mean": hidden.mean(0).expand_as(hidden),
        "Resample": hidden.roll(1, 0),
    }
    written[:, 2:5] = others[write.__name__][:, 2:5]
    for i, linear in enumerate(list(model.layers)[2:]):
        written = written @ linear.weight.T + linear.bias
        written = written.relu() if i == 0 else written
    logits = interchange(model, intervention, given).counterfactual
    torch.testing.assert_close(logits, written, atol=1e-6, rtol=0)
