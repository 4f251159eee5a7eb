import pytest
import torch
from sklearn.metrics import accuracy_score

from iit_lab.alignment.alignment import place
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.zero import Zero
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.data import draw_splits
from iit_lab.training.evaluation import evaluate

TASK = HierarchicalEquality()
MODEL = MLP([16], TASK.input_shape, 2, generator_for(0, "network"))
GROUPS = draw_splits(TASK, CounterfactualPolicy(n_train=9, n_val=9, n_test=101), TASK.variables, 0).test
CPU = torch.device("cpu")


def intervention(write) -> Intervention:
    return Intervention(place(TASK.variables, 0), MODEL, write(), IdentitySlice, generator_for(0), rank=8)


def test_metrics_of_every_set_and_their_mean():
    found = evaluate(MODEL, intervention(Interchange), GROUPS, 40, CPU)
    values = []
    for group in GROUPS:
        with torch.no_grad():
            predicted = interchange(MODEL, intervention(Interchange), group).counterfactual.argmax(1)
        values.append(accuracy_score(group.counterfactual_label, predicted))
        assert found.metrics[f"iia/{group.name}"] == pytest.approx(values[-1], abs=1e-12)
        assert torch.equal(found.predictions[group.name][1], predicted)
    assert found.metrics["iia"] == pytest.approx(sum(values) / 3)


def test_the_batch_size_changes_nothing():
    whole = evaluate(MODEL, intervention(Interchange), GROUPS, 1000, CPU)
    assert evaluate(MODEL, intervention(Interchange), GROUPS, 7, CPU).metrics == whole.metrics


def test_an_ablation_reports_its_effect_and_no_iia():
    found = evaluate(MODEL, intervention(Zero), GROUPS, 1000, CPU).metrics
    assert not any(name.startswith("iia") for name in found)
    group = GROUPS[2]
    with torch.no_grad():
        outputs = interchange(MODEL, intervention(Zero), group, want_base=True)
    changed = outputs.base.argmax(1) != outputs.counterfactual.argmax(1)
    assert found[f"effect/{group.name}"] == pytest.approx(changed.double().mean().item())
    left = accuracy_score(group.base_label, outputs.counterfactual.argmax(1))
    assert found[f"ablated_accuracy/{group.name}"] == pytest.approx(left)


def test_an_ablation_s_predictions_stand_beside_the_base_s_labels():
    labels, _ = evaluate(MODEL, intervention(Zero), GROUPS, 1000, CPU).predictions[GROUPS[2].name]
    assert torch.equal(labels, GROUPS[2].base_label)


def test_dropout_is_off():
    class Noisy(MLP):
        def run_stage(self, stage, value, tap):
            return super().run_stage(stage, torch.nn.functional.dropout(value, 0.5, self.training), tap)

    model = Noisy([16], TASK.input_shape, 2, generator_for(0, "network")).train()
    plain = evaluate(MODEL, intervention(Interchange), GROUPS, 1000, CPU).metrics
    assert evaluate(model, intervention(Interchange), GROUPS, 1000, CPU).metrics == plain


def test_without_an_intervention_only_behaviour_is_measured():
    found = evaluate(MODEL, None, GROUPS, 1000, CPU).metrics
    assert set(found) == {"accuracy"}
