"""Many alignments of one frozen GPT-2 at once, against the same alignments one by one.

- commands: `iit-lab alignment=grid` against a command per cell, start-up included; the small GPT-2 of
  `sum_das_grid`, which both sides find trained (a few steps: what it has learnt makes no difference).
- recomputed, cached: one step of four cells of rank 64 at each of the layers 2, 6 and 10 of a GPT-2 of 192
  units, batch 32, against the same cells trained one by one in the same process, which run both forwards to
  the site, or keep the activations at the site.
- pyvene: the same against pyvene, per cell, at 192 units; and at 64 units, over every third layer. With
  `--quick` one step at layer 6 of a GPT-2 of 768 units instead.

Before anything is timed, the first losses of all sides must agree.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from _compare import Comparisons
from _gpt2 import GridStep, batches, das, network
from _pyvene_gpt2 import PyveneStep
from _steps import Ours, OursCached

CELLS, RANK = 4, 64
EXPERIMENT = (
    "experiment=sum_das_grid",
    "logger=csv",
    "limit.rows=512",
    "job.min_accuracy=null",
    "job.budgets.default.max_steps=20",
    "requires.network.job.max_steps=5",
)


def main() -> None:
    """All comparisons."""
    run = Comparisons(__doc__)
    if run.quick:
        against_pyvene(run, 768, 32, (6,), at_least=30)
    else:
        stacked(run)
        against_pyvene(run, 192, 32, (2, 6, 10), at_least=20)
        against_pyvene(run, 64, 32, range(0, 12, 3), at_least=8)
        against_pyvene(run, 64, 256, range(0, 12, 3), at_least=3)
    commands(run)
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    run.exit()


def stacked(run: Comparisons) -> None:
    """A stacked step against single ones."""
    model, data = network(192), batches(32)
    layers = (2, 6, 10)
    grids = [GridStep(model, layer, RANK, CELLS, data) for layer in layers]
    alone = [[das(model, layer, RANK, seed) for seed in range(CELLS)] for layer in layers]
    fresh = [Ours(module) for cells in alone for module in cells]
    for grid, cells in zip(grids, alone, strict=True):
        expected = [Ours(module).loss(data[0]).item() for module in cells]
        agree(grid.losses(grid.batches[0]), expected)
    kept = [OursCached(das(model, layer, RANK, seed), data) for layer in layers for seed in range(CELLS)]
    name = f"das_grid/{{}}/192/{32}"
    pairs = run.pairs(20, quick=5)
    run.speed_up(
        name.format("recomputed"), each(grids), lambda: [step(data[0]) for step in fresh], pairs, 1.5
    )
    run.speed_up(name.format("cached"), each(grids), lambda: [step(data[0]) for step in kept], pairs, 1.0)


def against_pyvene(run: Comparisons, width: int, size: int, layers: Sequence[int], at_least: float) -> None:
    """A stacked step of four cells against pyvene's step of one, per row of a batch."""
    model, data = network(width), batches(size)
    grids = [GridStep(model, layer, RANK, CELLS, data) for layer in layers]
    first = [grid.module.interventions[0].subspaces[0].basis() for grid in grids]
    theirs = [PyveneStep(model, layer, basis) for layer, basis in zip(layers, first, strict=True)]
    for grid, step in zip(grids, theirs, strict=True):
        agree(grid.losses(grid.batches[0])[:1], [step.loss(data[0]).item()])
    run.speed_up(
        f"das_grid/pyvene/{width}/{size}",
        each(grids),
        lambda: [step(data[0]) for step in theirs],
        run.pairs(10 if width == 64 else 5, quick=1),
        at_least,
        rows=(CELLS * size * len(layers), size * len(layers)),
        warm=0 if run.quick else 1,
    )


def commands(run: Comparisons) -> None:
    """A grid against a command per cell, per cell."""
    layers, ranks = ("[2,10]", "[5,64]") if run.quick else ("[0,2,4,6,8,10]", "[5,11,21,64]")
    cells = 4 if run.quick else 24
    with tempfile.TemporaryDirectory() as folder:
        count = iter(range(1000))

        def command(*overrides: str) -> None:
            where = (f"outputs={folder}", f"hydra.run.dir={folder}/{next(count)}")
            line = [sys.executable, "-m", "iit_lab.cli", *EXPERIMENT, *where, *overrides]
            subprocess.run(line, check=True, capture_output=True, cwd=folder)

        def grid() -> None:
            command(f"alignment.layers={layers}", f"intervention.ranks={ranks}")

        def alone() -> None:
            command(
                "alignment=whole_site", "alignment.layer=6", "~intervention.ranks", "intervention.rank=21"
            )

        alone()  # makes the network
        run.speed_up("das_grid/commands", grid, alone, run.pairs(3, quick=1), 3, rows=(cells, 1), warm=0)


def each(steps: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """One of each."""
    return lambda: [step() for step in steps]  # pyright: ignore[reportReturnType]


def agree(ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Make sure that both compute the same.

    Raises:
        SystemExit: if they do not; comparing their times would mean nothing.
    """
    if max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) > 1e-4:
        raise SystemExit(f"not the same computation: {ours} and {theirs}")


if __name__ == "__main__":
    main()
