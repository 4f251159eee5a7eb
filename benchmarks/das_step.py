"""One DAS step, on a perceptron and on GPT-2: ours against pyvene, by hand, and its lower bounds.

On hierarchical equality the network is 16-16-16-16-2 and frozen; layer 0 is rotated, eight dimensions per
variable. A run is three steps (zero the gradients, forwards, loss, backward, Adam): one on the left
variable, one on the right, one on both with a source each, every one on a batch of its own from the task's
data generator. All sides have the same weights, rotation, batches and optimiser. Before anything is timed
they must agree on the losses, and all but pyvene, whose rotation has other parameters, must still agree
after three steps.

- pyvene: its tutorial's set-up on its own perceptron.
- by_hand: plain torch, every forward run to the end, one thin QR per step.
- fresh_bound: the same, but the source's forward and the backward stop at the site (B1 in the design).
- cached_bound: forward and backward after the site only (B2); ours too starts from cached activations.

Times are for the three steps together.

On sums of three numbers the network is a GPT-2 of 12 layers of 192 or 768 units, six positions aligned as
one site after block 2, 6 or 10, rank 64; `fresh_bound`, `cached_bound` and pyvene as above, one step a run.
A step of pyvene's at 768 units takes many seconds, so it is timed once or twice.
"""

from collections.abc import Callable, Sequence
from functools import partial

from _compare import Comparisons
from _das import CachedBound, FreshBound, HandWritten
from _equality import das, network, three_kinds
from _gpt2 import CachedHandWritten as CachedGPT2
from _gpt2 import HandWritten as FreshGPT2
from _gpt2 import batches as batches_gpt2
from _gpt2 import das as das_gpt2
from _gpt2 import network as network_gpt2
from _pyvene_das import PyveneStep
from _pyvene_gpt2 import PyveneStep as PyveneGPT2
from _steps import Ours, OursCached, Step, check_same

from iit_lab.causal.batch import InterchangeBatch

RANK = 64
GPT2 = [(192, 32, (2, 6, 10)), (192, 256, (2, 6, 10)), (768, 32, (2, 6, 10)), (768, 256, (6,))]
PYVENE = {(192, 32): 8, (192, 256): 2, (768, 32): 30}
"""(Width, batch) -> how many times faster than pyvene."""


def main() -> None:
    """Compare; the comparisons by hand gate at 6400 only."""
    run = Comparisons(__doc__)
    compare(run, 640, gating=False)
    compare(run, 6400, gating=True)
    for width, size, layers in [(192, 32, (6,))] if run.quick else GPT2:
        compare_gpt2(run, width, size, layers)
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


def compare_gpt2(run: Comparisons, width: int, size: int, layers: Sequence[int]) -> None:
    """The lower bounds at each layer; pyvene at layer 6."""
    model, data = network_gpt2(width), batches_gpt2(size)
    pairs = run.pairs(20 if width * size < 10_000 else 3, quick=10)
    for layer in layers:
        ours, cached = Ours(das_gpt2(model, layer, RANK)), OursCached(das_gpt2(model, layer, RANK), data)
        weight = ours.module.intervention.subspaces[0].weight
        fresh, kept = FreshGPT2(model, layer, weight), CachedGPT2(model, layer, weight, data)
        check_same([ours, fresh, cached, kept], data[:1])
        name = f"gpt2-{width}/{size}/layer{layer}"
        works = works_on_one(data[0], ours, fresh, cached, kept)
        run.overhead(f"das_step/fresh_bound/{name}", works[0], works[1], pairs, 1.1)
        run.overhead(f"das_step/cached_bound/{name}", works[2], works[3], pairs, 1.2)
        if layer == 6 and (width, size) in PYVENE:
            again = Ours(das_gpt2(model, layer, RANK))
            theirs = PyveneGPT2(model, layer, again.module.intervention.subspaces[0].basis())
            check_same([again, theirs], data[:1])
            pair, few = works_on_one(data[0], again, theirs), 2 if width == 192 else 1
            run.speed_up(
                *(f"das_step/pyvene/{name}", *pair, run.pairs(5 * few - 3, quick=3)),
                at_least=PYVENE[width, size],
                warm=few - 1,
            )


def works_on_one(batch: InterchangeBatch, *steps: Step) -> list[Callable[[], None]]:
    """One step each."""
    return [partial(step, batch) for step in steps]


def works(batches: Sequence[InterchangeBatch], *steps: Step) -> list[Callable[[], None]]:
    """One step per batch."""
    return [partial(step.each, batches) for step in steps]


if __name__ == "__main__":
    main()
