"""Many small networks trained together against one after another.

The II-Benchmark's networks of 32 alignments, three each (trained on the left variable, the right one, both):
blocks of units of layer 1 of a 16-16-16 perceptron, or scattered units and rotated subspaces of layers 0 and
1. A run is five steps of every network (zero the gradients, forwards, losses, backward, Adam) on batches of
64: all networks together, or one network after another its five steps, as `job=train` takes them. The two
must agree on all losses before anything is timed, and still after fifteen steps.
"""

from collections.abc import Sequence
from functools import partial

import torch
from _compare import Comparisons
from _equality import LEARNING_RATE, network, three_kinds
from _steps import Ours

from iit_lab.alignment.placements import Block, Placement, Rotated, Scattered
from iit_lab.alignment.sampling import AlignmentSpace
from iit_lab.benchmark.claims import intervention_at
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.mlp import MLP
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.behaviour import Behaviour
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.randomness import generator_for
from iit_lab.tasks.hierarchical_equality import HierarchicalEquality
from iit_lab.training.members import Member
from iit_lab.training.module import InterchangeModule
from iit_lab.training.population import PopulationModule

ALIGNMENTS, BATCH, STEPS, TOLERANCE = 32, 64, 5, 1e-4
ADAM = partial(torch.optim.Adam, lr=LEARNING_RATE)


def main() -> None:
    """Blocks have a target; the other kinds are printed."""
    run = Comparisons(__doc__)
    cases: dict[str, tuple[dict[str, Placement], list[int], float]] = {
        "blocks": ({"block": Block()}, [1], 10),
        "any": ({"scattered": Scattered(), "rotated": Rotated()}, [0, 1], 10),
    }
    for name, (kinds, layers, target) in cases.items():
        batches = three_kinds(BATCH)
        members = networks(kinds, layers)
        alone, together = Alone(members), Together(members)
        check(alone, together, batches)
        for _ in range(3):
            alone(batches)
            together(batches)
        check(alone, together, batches)
        works = partial(together, batches), partial(alone, batches)
        rows = (len(members) * STEPS, len(members) * STEPS)
        run.speed_up(f"population/{name}/{len(members)}", *works, run.pairs(30, quick=5), target, rows)
    run.exit()


def networks(kinds: dict[str, Placement], layers: Sequence[int]) -> list[Member]:
    """Three networks for each alignment."""
    task = HierarchicalEquality()
    space = AlignmentSpace(
        network(), task.variables, kinds, layers=layers, across=True, least={0: 8}, even=True
    )
    members = []
    for i, drawn in enumerate(space.sample(ALIGNMENTS, 0)):
        for stream in range(3):
            model = MLP([16, 16, 16], task.input_shape, task.n_classes, generator_for(i, "model", stream))
            claims = {name: (home,) for name, home in drawn.homes.items()}
            members.append(Member(model, intervention_at(model, claims), stream))
    return members


def objective() -> Objective:
    """Both losses, equally weighted."""
    return Objective({"behaviour": Term(Behaviour()), "interchange": Term(InterchangeLoss())})


class Alone:
    """Every network's own module and optimiser."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.streams = [member.stream for member in members]
        self.steps = [
            Ours(
                InterchangeModule(
                    member.model, member.intervention, objective(), ADAM, None, (), train_model=True
                ).train()
            )
            for member in members
        ]

    def __call__(self, batches: Sequence[InterchangeBatch]) -> None:
        """Some steps of every network."""
        for step, stream in zip(self.steps, self.streams, strict=True):
            for _ in range(STEPS):
                step(batches[stream])

    def losses(self, batches: Sequence[InterchangeBatch]) -> torch.Tensor:
        """Of every network."""
        return torch.stack(
            [
                step.loss(batches[stream]).detach()
                for step, stream in zip(self.steps, self.streams, strict=True)
            ]
        )


class Together:
    """All networks in one module."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.module = PopulationModule(members, objective(), ADAM).train()
        self.optimizer = ADAM(self.module.parameters())

    def __call__(self, batches: Sequence[InterchangeBatch]) -> None:
        """Some steps of every network."""
        for _ in range(STEPS):
            self.optimizer.zero_grad()
            self.module.losses(list(batches))["loss"].sum().backward()
            self.optimizer.step()

    def losses(self, batches: Sequence[InterchangeBatch]) -> torch.Tensor:
        """Of every network."""
        return self.module.losses(list(batches))["loss"].detach()


def check(alone: Alone, together: Together, batches: Sequence[InterchangeBatch]) -> None:
    """Make sure that both compute the same.

    Raises:
        SystemExit: if they do not; comparing their times would mean nothing.
    """
    apart = float((alone.losses(batches) - together.losses(batches)).abs().max())
    if apart > TOLERANCE:
        raise SystemExit(f"not the same computation: losses differ by {apart}")


if __name__ == "__main__":
    main()
