"""One DAS step on the hierarchical-equality perceptron: ours against pyvene, by hand, and its lower bounds.

The network is 16-16-16-16-2 and frozen; layer 0 is rotated, eight dimensions per variable. A run is three
steps (zero the gradients, forwards, loss, backward, Adam): one on the left variable, one on the right, one on
both with a source each, every one on a batch of its own from the task's data generator. All sides have the
same weights, rotation, batches and optimiser. Before anything is timed they must agree on the losses, and all
but pyvene, whose rotation has other parameters, must still agree after three steps.

- pyvene: its tutorial's set-up on its own perceptron.
- by_hand: plain torch, every forward run to the end, one thin QR per step.
- fresh_bound: the same, but the source's forward and the backward stop at the site (B1 in the design).
- cached_bound: forward and backward after the site only (B2); ours too starts from cached activations.

Times are for the three steps together.
"""

from collections.abc import Callable, Sequence
from functools import partial

from _compare import Comparisons
from _das import CachedBound, FreshBound, HandWritten
from _equality import das, network, three_kinds
from _pyvene_das import PyveneStep
from _steps import Ours, OursCached, Step, check_same

from iit_lab.causal.batch import InterchangeBatch


def main() -> None:
    """Compare; the comparisons by hand gate at 6400 only."""
    run = Comparisons(__doc__)
    compare(run, 640, gating=False)
    compare(run, 6400, gating=True)
    run.exit()


def compare(run: Comparisons, batch_size: int, *, gating: bool) -> None:
    """All comparisons at one batch size."""
    batches, model = three_kinds(batch_size), network()
    module = das(model)
    rotation = module.intervention.subspaces[0].basis()
    ours, cached = Ours(module), OursCached(das(model), batches)
    by_hand, fresh = HandWritten(model, rotation), FreshBound(model, rotation)
    kept, pyvene = CachedBound(model, rotation, batches), PyveneStep(model, rotation)
    check_same([pyvene, ours, by_hand, fresh, cached, kept], batches)
    for step in (ours, by_hand, fresh, cached, kept):
        step.each(batches)
    check_same([ours, by_hand, fresh, cached, kept], batches)

    def compare_with(name: str, ours: Step, other: Step, at_most: float) -> None:
        target = at_most if gating else None
        run.overhead(f"das_step/{name}/{batch_size}", *works(batches, ours, other), pairs, target)

    pairs = run.pairs(200, quick=100)
    run.speed_up(f"das_step/pyvene/{batch_size}", *works(batches, ours, pyvene), run.pairs(100, quick=30), 3)
    compare_with("by_hand", ours, by_hand, 1.3)
    compare_with("fresh_bound", ours, fresh, 1.1)
    compare_with("cached_bound", cached, kept, 1.2)


def works(batches: Sequence[InterchangeBatch], *steps: Step) -> list[Callable[[], None]]:
    """One step per batch."""
    return [partial(step.each, batches) for step in steps]


if __name__ == "__main__":
    main()
