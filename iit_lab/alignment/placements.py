"""Ways to place variables in the units of one layer: counted, and listed by number.

Each kind knows how many placements of given sizes there are, and which one has which number, so that a
uniform draw without replacement needs no list.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate
from math import comb, factorial, prod

Units = tuple[int, ...]


class Placement(ABC):
    """A kind of placement. Units of different variables never overlap."""

    @abstractmethod
    def count(self, width: int, sizes: Sequence[int]) -> int:
        """How many placements of variables of these sizes a layer of `width` units has."""

    @abstractmethod
    def at(self, width: int, sizes: Sequence[int], number: int) -> list[Units]:
        """Units of each variable in the placement of that number, from 0 to the count."""


class Block(Placement):
    """Each variable in one run of neighbouring units (the II-Benchmark's kind)."""

    def count(self, width: int, sizes: Sequence[int]) -> int:
        """Orders of the runs x ways to share the free units among the gaps."""
        free = width - sum(sizes)
        return factorial(len(sizes)) * comb(free + len(sizes), len(sizes)) if free >= 0 else 0

    def at(self, width: int, sizes: Sequence[int], number: int) -> list[Units]:
        """The order first, then the gaps."""
        gaps = comb(width - sum(sizes) + len(sizes), len(sizes))
        order = _permutation(len(sizes), number // gaps)
        starts = _combination(width - sum(sizes) + len(sizes), len(sizes), number % gaps)
        runs: list[Units] = [()] * len(sizes)
        shift = 0
        for i, (name, start) in enumerate(zip(order, starts, strict=True)):
            begin = start - i + shift
            runs[name] = tuple(range(begin, begin + sizes[name]))
            shift += sizes[name]
        return runs


class Scattered(Placement):
    """Each variable in any units."""

    def count(self, width: int, sizes: Sequence[int]) -> int:
        """A multinomial coefficient."""
        return prod(_choices(width, sizes))

    def at(self, width: int, sizes: Sequence[int], number: int) -> list[Units]:
        """One variable after another, among the units that are left."""
        left, found = list(range(width)), []
        for size, choices in zip(sizes, _choices(width, sizes), strict=True):
            number, own = divmod(number, choices)
            picked = _combination(len(left), size, own)
            found.append(tuple(left[i] for i in picked))
            left = [unit for unit in left if unit not in found[-1]]
        return found


class Blocks(Placement):
    """Each variable in several runs, with a free unit or more between any two runs.

    Args:
        runs: of each variable.

    Raises:
        ValueError: for fewer than two.
    """

    def __init__(self, runs: int = 2) -> None:
        if runs < 2:
            raise ValueError(f"runs={runs}: several are two or more; use a block for one")
        self.runs = runs

    def count(self, width: int, sizes: Sequence[int]) -> int:
        """Whose run comes when x lengths of the runs x gaps."""
        return prod(self._factors(width, sizes))

    def _factors(self, width: int, sizes: Sequence[int]) -> tuple[int, int, int]:
        runs = self.runs * len(sizes)
        free = width - sum(sizes) - (runs - 1)
        orders = factorial(runs) // factorial(self.runs) ** len(sizes)
        lengths = prod(comb(size - 1, self.runs - 1) for size in sizes)
        return orders, lengths, comb(free + runs, runs) if free >= 0 else 0

    def at(self, width: int, sizes: Sequence[int], number: int) -> list[Units]:
        """The order first, then the lengths, then the gaps."""
        _, lengths, gaps = self._factors(width, sizes)
        runs = self.runs * len(sizes)
        number, gap = divmod(number, gaps)
        number, length = divmod(number, lengths)
        order = _arrangement([self.runs] * len(sizes), number)
        parts = []
        for size in sizes:
            length, own = divmod(length, comb(size - 1, self.runs - 1))
            ends = [-1, *_combination(size - 1, self.runs - 1, own), size - 1]
            parts.append([stop - start for start, stop in zip(ends, ends[1:], strict=False)])
        starts = _combination(width - sum(sizes) + 1, runs, gap)
        found: list[list[int]] = [[] for _ in sizes]
        shift = 0
        for name, start in zip(order, starts, strict=True):
            long = parts[name].pop(0)
            found[name] += range(start + shift, start + shift + long)
            shift += long
        return [tuple(units) for units in found]


class Rotated(Placement):
    """Each variable in directions of the whole layer, drawn besides: one placement for given sizes."""

    def count(self, width: int, sizes: Sequence[int]) -> int:
        """One, if they fit."""
        return int(sum(sizes) <= width)

    def at(self, width: int, sizes: Sequence[int], number: int) -> list[Units]:
        """The first columns of the basis for the first variable, and so on."""
        stops = list(accumulate(sizes))
        return [tuple(range(stop - size, stop)) for stop, size in zip(stops, sizes, strict=True)]


def _choices(width: int, sizes: Sequence[int]) -> list[int]:
    before = [0, *accumulate(sizes)]
    return [
        comb(width - taken, size) if taken <= width else 0 for taken, size in zip(before, sizes, strict=False)
    ]


def _combination(n: int, k: int, number: int) -> list[int]:
    """The `number`-th of the k-subsets of 0..n-1, in lexicographic order."""
    found, low = [], 0
    for left in range(k, 0, -1):
        while number >= (with_low := comb(n - low - 1, left - 1)):
            number -= with_low
            low += 1
        found.append(low)
        low += 1
    return found


def _permutation(n: int, number: int) -> list[int]:
    """The `number`-th order of 0..n-1."""
    left, order = list(range(n)), []
    for size in range(n, 0, -1):
        first, number = divmod(number, factorial(size - 1))
        order.append(left.pop(first))
    return order


def _arrangement(counts: list[int], number: int) -> list[int]:
    """The `number`-th order of a multiset with `counts[i]` times i."""
    counts, order = list(counts), []
    while sum(counts):
        for i, count in enumerate(counts):
            if not count:
                continue
            counts[i] -= 1
            ways = factorial(sum(counts)) // prod(factorial(each) for each in counts)
            if number < ways:
                order.append(i)
                break
            number -= ways
            counts[i] += 1
    return order
