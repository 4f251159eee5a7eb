import math

import pytest
import torch

from iit_lab.objectives.base import Objective, Observed, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.objectives.sparsity import Sparsity

BASE = torch.tensor([[0.0, math.log(3.0)]])  # probabilities 1/4 and 3/4
OTHER = torch.tensor([[math.log(4.0), 0.0]])  # 4/5 and 1/5
LABELS = (torch.tensor([1]), torch.tensor([1]))


def test_weighted_sum_by_hand():
    objective = Objective({"a": Term(Behaviour(), 2.0), "b": Term(InterchangeLoss(), 0.5)})
    losses = objective(Observed(BASE, OTHER, *LABELS))
    assert losses["a"].item() == pytest.approx(math.log(4 / 3))
    assert losses["b"].item() == pytest.approx(math.log(5))
    assert losses["loss"].item() == pytest.approx(2 * math.log(4 / 3) + 0.5 * math.log(5))


def test_a_term_of_weight_zero_is_not_needed():
    objective = Objective({"a": Term(Behaviour(), 0.0), "b": Term(InterchangeLoss())})
    assert (objective.needs_base, objective.needs_counterfactual) == (False, True)
    assert set(objective(Observed(None, OTHER, *LABELS))) == {"b", "loss"}


def test_the_size_has_a_price():
    objective = Objective({"a": Term(InterchangeLoss()), "b": Term(Sparsity(), 3.0)})
    assert objective.needs_size and not Objective({"a": Term(InterchangeLoss())}).needs_size
    size = torch.tensor(0.5, requires_grad=True)
    losses = objective(Observed(None, OTHER, *LABELS, size))
    assert losses["b"].item() == 0.5
    assert losses["loss"].item() == pytest.approx(math.log(5) + 1.5)
    losses["loss"].backward()
    assert size.grad.item() == 3.0


def test_bad_weights():
    with pytest.raises(ValueError, match="weight=-1"):
        Term(Behaviour(), -1.0)
    with pytest.raises(ValueError, match="none has a weight above 0"):
        Objective({"a": Term(Behaviour(), 0.0)})
