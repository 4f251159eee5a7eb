"""All pairs of inputs at once, against running them one by one."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.analysis import pairs
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import interchange
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.gpt2_loading import classifier
from iit_lab.models.tokenizers import word_level
from iit_lab.randomness import generator_for
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.arithmetic_sum import ArithmeticSum, partial_sum
from iit_lab.training.cache import Activations

WORDS = ["+", "=", *map(str, range(1, 11))]
SIZES = {"n_layer": 3, "n_embd": 16, "n_head": 2, "n_positions": 8, "initializer_range": 0.4}
TOKENS = {"bos_token_id": None, "eos_token_id": None, "vocab_size": len(WORDS) + 2}


@pytest.mark.parametrize("terms", ["XY", "Z", "XYZ"])
def test_labels_are_those_of_plain_arithmetic(terms):
    task = ArithmeticSum(word_level(WORDS), partial_sum(terms))
    setting = task.inputs.rows(torch.arange(0, 1000, 77)).setting
    found = pairs.labels(task.causal_model, setting, task.variables)
    numbers = torch.stack([setting[name] for name in "XYZ"], 1).tolist()
    for i, base in enumerate(numbers):
        for j, source in enumerate(numbers):
            mixed = [source[k] if name in terms else base[k] for k, name in enumerate("XYZ")]
            assert found[i, j] == sum(mixed) - 3


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("rows", [7, 40])
def test_answers_are_those_of_single_interchanges(layer, rows):
    task = ArithmeticSum(word_level(WORDS), partial_sum("XY"))
    model = classifier(task.input_shape, 28, generator_for(0), config={**SIZES, **TOKENS}).eval()
    model.requires_grad_(False)
    where = place(("P",), layer=layer)
    made = Intervention(where, model, Interchange(), LowRankRotation, generator_for(1), rank=30).eval()
    inputs = task.encode(task.inputs.rows(torch.arange(0, 1000, 91)).setting)
    nothing = torch.zeros(len(inputs), dtype=torch.long)
    group = InterchangeBatch(inputs, inputs.new_empty((0, *inputs.shape)), (), None, nothing, nothing)
    activations = Activations(model, [group], 4, torch.device("cpu"))
    activations.reach(layer + 1)
    told = []
    found = pairs.answers(
        activations, made, activations.indexed(group), ("P",), rows, lambda *step: told.append(step)
    )
    one = torch.zeros(1, dtype=torch.long)
    for i in range(len(inputs)):
        for j in range(len(inputs)):
            batch = InterchangeBatch(inputs[i : i + 1], inputs[None, j : j + 1], ("P",), None, one, one)
            assert interchange(model, made, batch).counterfactual.argmax() == found[i, j]
    assert len(found.unique()) > 2
    assert told[-1] == (len(inputs), len(inputs))


def test_weights_count_both_directions():
    right = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    assert pairs.weights(right).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
