"""Finding alignments without being told: a sparse mask is learned in every layer, the best layer wins.

DAS with a sparse mask instead of a fixed number of dimensions: desiderata-based masking (Davies et al. 2023,
section 3) of units, or of the columns of a learned rotation.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from iit_lab.alignment.alignment import Alignment
from iit_lab.alignment.sampling import Home, check_home
from iit_lab.benchmark.claims import Claims, dimensions
from iit_lab.benchmark.scoring import score
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel
from iit_lab.objectives.base import Objective, Term
from iit_lab.objectives.interchange import InterchangeLoss
from iit_lab.objectives.sparsity import Sparsity
from iit_lab.randomness import generator_for
from iit_lab.subspaces.mask import SigmoidMask
from iit_lab.training.batches import TrainingBatches
from iit_lab.training.module import InterchangeModule


def mask_search(
    model: StagedModel,
    groups: Sequence[InterchangeBatch],
    layers: Sequence[int] | None = None,
    *,
    position: int | None = None,
    rotated: bool = False,
    steps: int = 400,
    batch_size: int = 256,
    learning_rate: float = 0.05,
    sparsity: float = 0.3,
    seed: int = 0,
) -> Claims:
    """Learn masks in every layer and claim those of the layer with the highest IIA.

    Args:
        model: the network.
        groups: pairs to search with, one group per set of variables.
        layers: where to look; None for all.
        position: token where to look, in a network that has positions.
        rotated: mask the columns of a learned rotation instead of units.
        steps: of the optimiser, in each layer.
        batch_size: pairs of a step.
        learning_rate: of Adam.
        sparsity: weight of the share of the layer that a variable takes up.
        seed: of the batches and the rotation.

    Raises:
        ValueError: for a position that the network lacks, or none where it has some.
    """
    check_home(model, Home(0, (), position=position))
    variables = list(dict.fromkeys(name for group in groups for name in group.variables))
    found = []
    for layer in range(model.n_layers) if layers is None else layers:
        home = Home(layer, (), position=position)
        intervention = Intervention(
            Alignment({name: (home.site,) for name in variables}),
            model,
            Interchange(),
            partial(SigmoidMask, hard=True, rotated=rotated),
            generator_for(seed, "mask", layer),
        )
        _learn(model, intervention, groups, seed, steps, batch_size, learning_rate, sparsity)
        claims = _claims(intervention, home, rotated=rotated)
        reached = score(model, claims, groups, 8192, torch.device("cpu"))
        iia = sum(each.iia for each in reached.sets.values()) / len(reached.sets)
        found.append((-round(iia, 3), dimensions(claims, variables), layer, claims))
    return min(found, key=lambda each: each[:3])[-1]


def _learn(
    model: StagedModel,
    intervention: Intervention,
    groups: Sequence[InterchangeBatch],
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    sparsity: float,
) -> None:
    objective = Objective(
        {"interchange": Term(InterchangeLoss()), "sparsity": Term(Sparsity(), weight=sparsity)}
    )
    module = InterchangeModule(
        model, intervention, objective, torch.optim.Adam, None, (), train_model=False, total_steps=steps
    )
    module.train()
    optimizer = torch.optim.Adam(intervention.parameters(), lr=learning_rate)
    batches = TrainingBatches(groups, batch_size, seed, chunk=1, epochs=2**20, max_steps=steps)
    while batches.step < batches.total_steps:
        for (batch,) in batches:
            intervention.anneal(batches.step / batches.total_steps)
            module.losses(batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
    intervention.anneal(1.0)
    intervention.eval()


def _claims(intervention: Intervention, home: Home, *, rotated: bool) -> Claims:
    """The directions that the masks take; where one takes none, its strongest one."""
    (place,) = intervention.places
    subspace = intervention.subspace(place)
    assert isinstance(subspace, SigmoidMask)
    rows = {name: i for i, name in enumerate(place.variables)}
    taken = {name: subspace.taken()[i] for name, i in rows.items()}
    for name, own in taken.items():
        if own.any():
            continue
        others = [other for other in taken.values() if other is not own]
        spare = ~torch.stack(others).any(0) if others else torch.ones_like(own)
        if not spare.any():  # one of the others gives up a unit
            spare = max(others, key=lambda other: int(other.sum()))
        strongest = int(subspace.logits[rows[name]].masked_fill(~spare, -torch.inf).argmax())
        for other in others:
            other[strongest] = False
        own[strongest] = True
    columns = torch.linalg.qr(subspace.weight.detach()).Q if subspace.weight is not None else None
    return {
        name: (
            replace(home, units=tuple(own.nonzero().flatten().tolist()))
            if columns is None
            else replace(home, basis=columns[:, own]),
        )
        for name, own in taken.items()
    }
