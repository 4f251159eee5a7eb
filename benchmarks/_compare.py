"""Two ways of doing the same work, timed as interleaved pairs in one process on one thread.

The ratio is the median over pairs, so whatever else the machine does meanwhile touches both sides alike. Only
ratios gate; the times printed behind them are medians too, and depend on the machine.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

Work = Callable[[], object]


class Comparisons:
    """The comparisons of one script: prints a line for each, remembers misses.

    Args:
        description: the script's docstring.
    """

    def __init__(self, description: str | None) -> None:
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--quick", action="store_true", help="fewer repetitions, under a minute")
        self.quick: bool = parser.parse_args().quick
        self._missed = False
        torch.set_num_threads(1)

    def pairs(self, full: int, quick: int = 20) -> int:
        """How many pairs to time."""
        return quick if self.quick else full

    def speed_up(
        self,
        name: str,
        ours: Work,
        theirs: Work,
        pairs: int,
        at_least: float,
        rows: tuple[int, int] = (1, 1),
        warm: int = 2,
    ) -> None:
        """How many times faster ours is.

        Args:
            name: what is compared.
            ours: one run of ours.
            theirs: one run of the other side.
            pairs: how often.
            at_least: the target.
            rows: how many rows a run of ours and one of theirs handle; their rates are compared.
            warm: runs of each before any is timed.
        """
        first, second = interleaved(ours, theirs, pairs, warm)
        ratio = median(b / a for a, b in zip(first, second, strict=True)) * rows[0] / rows[1]
        self._print(f"{name} ratio={ratio:.3g} target>={at_least:g}", ratio >= at_least, first, second, rows)

    def overhead(self, name: str, ours: Work, bound: Work, pairs: int, at_most: float | None) -> None:
        """How many times slower ours is than a lower bound.

        Args:
            name: what is compared.
            ours: one run of ours.
            bound: one run of what bounds it.
            pairs: how often.
            at_most: the target; None for a ratio that is printed and gates nothing.
        """
        first, second = interleaved(ours, bound, pairs)
        ratio = median(a / b for a, b in zip(first, second, strict=True))
        text = f"{name} ratio={ratio:.3g}"
        if at_most is None:
            self._print(f"{text} no target", None, first, second)
        else:
            self._print(f"{text} target<={at_most:g}", ratio <= at_most, first, second)

    def _print(
        self,
        text: str,
        reached: bool | None,
        ours: Sequence[float],
        theirs: Sequence[float],
        rows: tuple[int, int] = (1, 1),
    ) -> None:
        self._missed |= reached is False
        beside = [f"{1e3 * median(side):.3f} ms" for side in (ours, theirs)]
        if rows != (1, 1):
            rates = [n / median(side) for n, side in zip(rows, (ours, theirs), strict=True)]
            beside = [f"{rate:,.0f} rows/s" if rate > 10 else f"{1 / rate:.1f} s a row" for rate in rates]
        verdict = {True: " ok", False: " MISS", None: ""}[reached]
        print(f"{text}{verdict}  (ours {beside[0]}, other {beside[1]}, {len(ours)} pairs)", flush=True)

    def exit(self) -> None:
        """End the script: status 1 if any target was missed."""
        sys.exit(int(self._missed))


def interleaved(ours: Work, theirs: Work, pairs: int, warm: int = 2) -> tuple[list[float], list[float]]:
    """Seconds of each run, after a few to warm up; which of a pair goes first alternates."""
    works = (ours, theirs)
    for work in works * warm:
        work()
    seconds: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    for i in range(pairs):
        for side in (0, 1) if i % 2 else (1, 0):
            began = time.perf_counter()
            works[side]()
            seconds[side].append(time.perf_counter() - began)
    gc.enable()
    return seconds
