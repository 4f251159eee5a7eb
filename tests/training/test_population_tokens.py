"""Networks with token positions trained together are those trained alone: the losses and the gradients."""

from functools import partial

import pytest
import torch

from iit_lab.alignment.sampling import Home
from iit_lab.benchmark.claims import intervention_at
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.bert_loading import classifier
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.training.members import Member
from iit_lab.training.module import InterchangeModule
from iit_lab.training.population import PopulationModule

SIZES = {"num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}
SIZES |= {"vocab_size": 30, "max_position_embeddings": 16, "initializer_range": 0.3}
SIZES |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
IIT = Objective({"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())})
ADAM = partial(torch.optim.Adam, lr=1e-3)
ROTATED = torch.linalg.qr(torch.randn(24, 5, generator=torch.Generator().manual_seed(0))).Q
PLACES = {
    "one token": {"v": (Home(1, (0, 1, 2), position=0),), "w": (Home(1, (5,), position=0),)},
    "two tokens of a layer": {"v": (Home(1, (0, 1), position=4),), "w": (Home(1, (0, 5), position=2),)},
    "two layers": {"v": (Home(0, (7, 3), position=0),), "w": (Home(1, (5, 8), position=3),)},
    "rotated": {"v": (Home(0, (), ROTATED[:, :2], 1),), "w": (Home(0, (), ROTATED[:, 2:], 1),)},
}


def inputs(rows: int) -> torch.Tensor:
    """Pairs of nine tokens, two of them padding."""
    tokens = torch.randint(1, 30, (rows, 9))
    tokens[:, 7:] = 0
    return torch.stack([tokens, (torch.arange(9) > 4).long().expand(rows, 9)], dim=1)


@pytest.mark.parametrize("names", [list(PLACES), ["one token"], ["rotated"]], ids=len)
def test_losses_and_gradients_are_those_of_each_alone(names):
    torch.manual_seed(0)
    labels = torch.randint(2, (2, 12))
    batch = InterchangeBatch(
        inputs(12), torch.stack([inputs(12), inputs(12)]), ("v", "w"), None, labels[0], labels[1]
    )
    members = []
    for i, name in enumerate(names):
        model = classifier((2, 9), 2, generator_for(i, "network"), config=SIZES).double()
        members.append(Member(model, intervention_at(model, PLACES[name]), 0))
    together = PopulationModule(members, IIT, ADAM).train()
    losses = together.losses([batch])["loss"]
    losses.sum().backward()
    for i, member in enumerate(members):
        alone = InterchangeModule(member.model, member.intervention, IIT, ADAM, None, (), train_model=True)
        loss = alone.train().losses(batch)["loss"]
        loss.backward()
        torch.testing.assert_close(losses[i], loss, rtol=0, atol=1e-9)
        own = dict(member.model.named_parameters())
        for name, stacked in zip(together.names, together.stacked, strict=True):
            assert stacked.grad is not None
            torch.testing.assert_close(stacked.grad[i], own[name].grad, rtol=0, atol=1e-9)
