"""The graph over all pairs of inputs: ours against a plain forward after the site, and against pyvene.

The small GPT-2 of `sum_disentangle` (12 layers, 64 wide, six positions one site, rank 21) on 128 of the 1 000
sums, so 16 384 interchanges a layer.

- suffix: the same number of rows through the stages after the site, 512 at once (about the fastest of 128 to
  8 192), with nothing gathered, projected or swapped. A lower bound, layer by layer and over all.
- pyvene: as the thesis makes its graphs, one call for each pair with both directions as a batch of two.

Before anything is timed, ours and pyvene must give the same classes.
"""

from collections.abc import Callable, Sequence

import torch
from _compare import Comparisons
from _gpt2 import intervention, network, task
from _pyvene_gpt2 import PyveneStep
from torch import Tensor

from iit_lab.analysis.pairs import answers
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.models.gpt2 import GPT2
from iit_lab.training.cache import Activations

WIDTH, RANK, INPUTS, ROWS, CALLS = 64, 21, 128, 512, 4


def main() -> None:
    """All comparisons."""
    run = Comparisons(__doc__)
    model, group = network(WIDTH), inputs()
    layers = (0, 6, 11) if run.quick else range(12)
    ours = [Ours(model, layer, group) for layer in layers]
    bounds = [suffix(model, one) for one in ours]
    pairs = run.pairs(5, quick=2)
    for layer, one, bound in zip(layers, ours, bounds, strict=True):
        run.overhead(f"disentangle/suffix/layer{layer}", one, bound, pairs, None)
    run.overhead("disentangle/suffix", each(ours), each(bounds), pairs, 1.3)
    theirs = [by_pair(model, layer, one, group) for layer, one in zip(layers, ours, strict=True)]
    for name, first, at_least in (("all", 0, 50), ("from8", 8, 100)):
        chosen = [i for i, layer in enumerate(layers) if layer >= first]
        count = len(chosen)
        run.speed_up(
            f"disentangle/pyvene/{name}",
            each([ours[i] for i in chosen]),
            each([theirs[i] for i in chosen]),
            run.pairs(5, quick=2),
            at_least,
            rows=(count * INPUTS**2 // 2, count * CALLS),
            warm=1,
        )
    run.exit()


def inputs() -> InterchangeBatch:
    """Some of the prompts."""
    own = task()
    assert own.inputs is not None
    rows = torch.linspace(0, len(own.inputs) - 1, INPUTS).long()
    base = own.encode(own.inputs.rows(rows).setting)
    nothing = torch.zeros(len(base), dtype=torch.long)
    return InterchangeBatch(base, base.new_empty((0, *base.shape)), (), None, nothing, nothing)


class Ours:
    """All pairs at one layer.

    Args:
        model: the network.
        layer: after which block.
        group: the inputs.
    """

    def __init__(self, model: GPT2, layer: int, group: InterchangeBatch) -> None:
        self.layer = layer
        self.activations = Activations(model, [group], 1024, torch.device("cpu"))
        self.activations.reach(layer + 2)
        self.intervention = intervention(model, layer, RANK).eval()
        found = self.activations.indexed(group)
        assert found is not None
        self.indexed = found

    def __call__(self) -> Tensor:
        """The class of every pair."""
        return answers(self.activations, self.intervention, self.indexed, ("P",), ROWS)


def suffix(model: GPT2, one: Ours) -> Callable[[], object]:
    """As many rows through the stages after the site."""
    values = one.activations.values
    assert values is not None
    rows = values.repeat(ROWS // len(values), 1, 1)

    @torch.no_grad()
    def forward() -> None:
        for _ in range(INPUTS**2 // ROWS):
            model.run(rows, start=one.layer + 2).argmax(-1)

    return forward


def by_pair(model: GPT2, layer: int, one: Ours, group: InterchangeBatch) -> Callable[[], object]:
    """A call of pyvene for each of a few pairs.

    Raises:
        SystemExit: if its classes are others than ours.
    """
    step = PyveneStep(model, layer, one.intervention.subspaces[0].basis())  # pyright: ignore[reportCallIssue]
    places = [[list(range(model.positions))] * 2]
    ends = [(i, INPUTS - 1 - i) for i in range(CALLS)]

    @torch.no_grad()
    def calls() -> list[Tensor]:
        found = []
        for first, second in ends:
            base, source = group.base[[first, second]], group.base[[second, first]]
            given = {"sources->base": (places, places)}
            _, outputs = step.intervenable({"input_ids": base}, [{"input_ids": source}], given)
            found.append(outputs.logits.argmax(-1))
        return found

    expected = one()
    for (first, second), classes in zip(ends, calls(), strict=True):
        if classes.tolist() != [expected[first, second], expected[second, first]]:
            raise SystemExit(f"layer {layer}: not the same classes")
    return calls


def each(works: Sequence[Callable[[], object]]) -> Callable[[], object]:
    """One after another."""
    return lambda: [work() for work in works]


if __name__ == "__main__":
    main()
