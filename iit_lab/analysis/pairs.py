"""Every pair of inputs as base and source: is the intervened output right?

The disentangling graphs of the DAS thesis (Pislar 2024, `construct_graph.py`), where each pair is one call of
pyvene; here the activations of each input are kept, and only the stages after the site are run.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.model import CausalModel, Setting
from iit_lab.interventions.intervention import Intervention
from iit_lab.training.cache import Activations

Progress = Callable[[int, int], None]
"""Told how many bases are done, of how many."""


def labels(model: CausalModel, setting: Setting, variables: tuple[str, ...]) -> Int[Tensor, "inputs inputs"]:
    """The counterfactual label of every pair: rows are bases, columns the source of all variables.

    Args:
        model: the hypothesis.
        setting: the inputs, one row each.
        variables: what is fixed to the source's value.
    """
    n = len(next(iter(setting.values())))
    base = {name: value.repeat_interleave(n, 0) for name, value in setting.items()}
    source = {name: value.repeat(n, *[1] * (value.ndim - 1)) for name, value in setting.items()}
    found = model.interchange(base, source, variables)[model.output]
    return found.long().view(n, n)


@torch.no_grad()
def answers(
    activations: Activations,
    intervention: Intervention,
    inputs: InterchangeBatch,
    variables: tuple[str, ...],
    rows: int,
    progress: Progress = lambda done, of: None,
) -> UInt8[Tensor, "inputs inputs"]:
    """The network's class for every pair, base by base.

    Args:
        activations: of the inputs; kept at or before the stage of the intervention.
        intervention: trained, in eval mode.
        inputs: all inputs as bases, as `activations` has indexed them.
        variables: what is fixed.
        rows: pairs at once; on a CPU few, so that what a block computes stays in the processor's cache.
        progress: told how far it is.
    """
    index = inputs.base
    n = len(index)
    found = torch.empty(n * n, dtype=torch.uint8)
    nothing = torch.zeros(1, dtype=torch.long, device=index.device)
    for start in range(0, n * n, rows):
        pairs = torch.arange(start, min(start + rows, n * n), device=index.device)
        unused = nothing.expand(len(pairs))
        batch = InterchangeBatch(
            base=index[pairs // n],
            sources=index[pairs % n][None],
            variables=variables,
            intervened=None,
            base_label=unused,
            counterfactual_label=unused,
        )
        logits = activations.counterfactual(intervention, batch)
        found[start : start + len(pairs)] = logits.argmax(-1).to("cpu", torch.uint8)
        progress((start + len(pairs)) // n, n)
    return found.view(n, n)


def weights(right: Bool[Tensor, "inputs inputs"]) -> UInt8[Tensor, "inputs inputs"]:
    """How many of a pair's two directions are right: 0, 1 or 2; the diagonal is 0.

    The thesis's edge weight is half of it.
    """
    both = right.to(torch.uint8) + right.mT.to(torch.uint8)
    return both.fill_diagonal_(0)
