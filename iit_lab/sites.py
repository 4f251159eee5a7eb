"""Where in a network: layer, component, positions, heads, units. Says nothing about a basis."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

Units = str | int | Sequence[int] | None
"""`"0:8"`, `"0:4,12:16"`, `3`, `[0, 3, 5]`, or None for all."""


@dataclass(frozen=True)
class Site:
    """A place whose activation is read or written as one vector per example.

    Args:
        layer: 0-based.
        component: which activation of the layer, a name of the model's own table.
        positions: token positions, flattened together; None for all (or where there are none).
        heads: attention heads, where the component has them; None for all.
        units: units at each position; None for all.
    """

    layer: int
    component: str
    positions: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    units: tuple[int, ...] | None = None

    def __str__(self) -> str:
        name = f"layer{self.layer}.{self.component}"
        for label, index in (("pos", self.positions), ("head", self.heads), ("", self.units)):
            if index is not None:
                name += f"[{label}{' ' if label else ''}{format_units(index)}]"
        return name

    @property
    def whole(self) -> "Site":
        """The same place with all its units and heads."""
        return Site(self.layer, self.component, self.positions)


def parse_units(text: Units, name: str = "units") -> tuple[int, ...] | None:
    """Indices written as a number, a list, or Python ranges joined by commas.

    Args:
        text: as in `Units`.
        name: what to call the argument in an error.

    Raises:
        ValueError: for anything else, an empty or backward range, or an index given twice.
    """
    if text is None:
        return None
    try:
        if isinstance(text, str):
            indices = [index for part in text.split(",") for index in _range(part)]
        else:
            indices = [int(text)] if isinstance(text, int) else [operator.index(index) for index in text]
    except (ValueError, TypeError):
        indices = []
    if not indices or min(indices) < 0 or len(set(indices)) != len(indices):
        raise ValueError(
            f"{name}={text}: write an index, a list of distinct indices, or ranges such as 0:8 or 0:4,12:16"
        )
    return tuple(indices)


def _range(part: str) -> Sequence[int]:
    start, colon, stop = part.partition(":")
    return range(int(start), int(stop)) if colon else (int(start),)


def format_units(indices: Sequence[int]) -> str:
    """The shortest text that `parse_units` reads back: `0:4,12:16`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([index, index + 1])
    return ",".join(str(start) if stop == start + 1 else f"{start}:{stop}" for start, stop in runs)
