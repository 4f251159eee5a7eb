"""Two ways of doing the same work, timed as interleaved pairs in one process on one thread.

The ratio is the median over pairs, so whatever else the machine does meanwhile touches both sides alike. Only
ratios gate; the milliseconds printed behind them are medians too, and depend on the machine.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable
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

    def speed_up(self, name: str, ours: Work, theirs: Work, pairs: int, at_least: float | None) -> None:
        """How many times faster ours is; None for a ratio that gates nothing."""
        first, second = interleaved(ours, theirs, pairs)
        ratio = median(b / a for a, b in zip(first, second, strict=True))
        target = "" if at_least is None else f" target>={at_least:g}"
        self._print(name, ratio, target, at_least is None or ratio >= at_least, first, second)

    def overhead(self, name: str, ours: Work, theirs: Work, pairs: int, at_most: float | None) -> None:
        """How many times slower ours is than a lower bound; None for a ratio that gates nothing."""
        first, second = interleaved(ours, theirs, pairs)
        ratio = median(a / b for a, b in zip(first, second, strict=True))
        target = "" if at_most is None else f" target<={at_most:g}"
        self._print(name, ratio, target, at_most is None or ratio <= at_most, first, second)

    def _print(
        self, name: str, ratio: float, target: str, reached: bool, ours: list[float], theirs: list[float]
    ) -> None:
        self._missed |= not reached
        verdict = "ok" if reached else "MISS"
        times = f"ours {1e3 * median(ours):.3f} ms, other {1e3 * median(theirs):.3f} ms, {len(ours)} pairs"
        print(f"{name} ratio={ratio:.3g}{target} {verdict if target else 'informational'}  ({times})", flush=True)

    def exit(self) -> None:
        """End the script: status 1 if any target was missed."""
        sys.exit(int(self._missed))


def interleaved(ours: Work, theirs: Work, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of each run, after two to warm up; which of a pair goes first alternates."""
    works = (ours, theirs)
    for work in works * 2:
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
