"""Data generation: ours, vectorised over the batch, against pyvene's CausalModel, one example at a time.

Both draw base/source pairs of hierarchical equality with an intervention on both variables, each from a
source of its own, label them and encode them as tensors. pyvene's model is written as its DAS tutorial
writes it, with the same variables and mechanisms, but for objects as tuples, which compare faster than the
tutorial's arrays. Before anything is timed, both label the same inputs and must agree. Rows per second are
compared: ours draws many more in the time of one.
"""

import contextlib
import io
import random

import torch
from _compare import Comparisons
from _equality import task

from iit_lab.causal.counterfactuals import draw
from iit_lab.randomness import generator_for
from iit_lab.training.data import encode

with contextlib.redirect_stdout(io.StringIO()):
    from pyvene import CausalModel

OURS, THEIRS = 64_000, 64
OBJECTS = ("a", "b", "c", "d")


def random_object() -> tuple[float, ...]:
    """Four entries from -1 to 1, rounded to two decimals."""
    return tuple(round(random.uniform(-1, 1), 2) for _ in range(4))


def their_model() -> CausalModel:
    """Hierarchical equality for pyvene."""
    parents = {name: [] for name in OBJECTS}
    parents |= {"left": ["a", "b"], "right": ["c", "d"], "same": ["left", "right"]}
    functions = {name: random_object for name in OBJECTS}
    functions |= {name: (lambda x, y: x == y) for name in ("left", "right", "same")}
    values = {name: [True, False] for name in ("left", "right", "same")}
    values |= {name: [(0.0,) * 4] for name in OBJECTS}
    return CausalModel([*OBJECTS, "left", "right", "same"], values, parents, functions)


def their_input(**_: object) -> dict[str, tuple[float, ...]]:
    """Each pair equal half of the time."""
    drawn = {name: random_object() for name in OBJECTS}
    for first, second in ("ab", "cd"):
        if random.random() < 0.5:
            drawn[second] = drawn[first]
    return drawn


def check_labels(theirs: CausalModel) -> None:
    """Both label the same pairs alike."""
    ours = task()
    pairs = draw(ours.causal_model, ours, ours.variables, 300, generator_for(0, "check"))

    def example(setting, i: int) -> dict[str, tuple[float, ...]]:
        return {name: tuple(setting[name][i].tolist()) for name in OBJECTS}

    for i in range(300):
        sources = {name: example(pairs.sources[k], i) for k, name in enumerate(("left", "right"))}
        outcome = theirs.run_interchange(example(pairs.base, i), sources)
        if int(outcome["same"]) != pairs.counterfactual_label[i]:
            raise SystemExit("the two causal models disagree")


def main() -> None:
    """Compare."""
    run = Comparisons(__doc__)
    random.seed(0)
    torch.manual_seed(0)
    ours, theirs = task(), their_model()
    check_labels(theirs)
    generator = generator_for(0, "benchmark")

    def draw_ours() -> None:
        encode(ours, draw(ours.causal_model, ours, ours.variables, OURS, generator))

    def draw_theirs() -> None:
        theirs.generate_counterfactual_dataset(
            THEIRS,
            lambda _: 0,
            THEIRS,
            sampler=their_input,
            intervention_sampler=lambda: {"left": True, "right": True},
        )

    run.speed_up("counterfactuals/pyvene", draw_ours, draw_theirs, run.pairs(40), 100, (OURS, THEIRS))
    run.exit()


if __name__ == "__main__":
    main()
