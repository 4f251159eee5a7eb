"""Values of a column: the order that a reader expects, and a type that every file format can hold."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

LARGEST = 2**63
"""Integers from here on fit no column of numbers."""


def natural(value: Any) -> tuple[int, Any, list[Any]]:
    """A sort key: nothing, then numbers, then text by the numbers in it, `layer-2` before `layer-10`."""
    value = plain(value)
    if value is None:
        return 0, 0, []
    if isinstance(value, int | float):
        return 1, value, []
    parts = re.split(r"([0-9]+)", text(value))
    return 2, 0, [int(part) if i % 2 else part for i, part in enumerate(parts)]


def ranks(values: Sequence[Any]) -> list[int]:
    """The place of each value among the distinct ones in natural order."""
    place = {value: i for i, value in enumerate(sorted(set(values), key=natural))}
    return [place[value] for value in values]


def series(values: Sequence[Any]) -> pd.Series:
    """A column of one type; values of several types, and lists, become text."""
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    whole = len(present) == len(values)
    if not present or kinds == {str}:
        return pd.Series(values, dtype="string")
    if kinds == {bool}:
        return pd.Series(values, dtype="bool" if whole else "boolean")
    if kinds == {int} and all(-LARGEST <= value < LARGEST for value in present):
        return pd.Series(values, dtype="int64" if whole else "Int64")
    if kinds <= {int, float}:
        return pd.Series(values, dtype="float64")
    return pd.Series([None if value is None else text(value) for value in values], dtype="string")


def text(value: Any) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def plain(value: Any) -> Any:
    """A column's value as Python's own; None if it is missing."""
    return None if is_missing(value) else getattr(value, "item", lambda: value)()


def is_missing(value: Any) -> bool:
    """Whether a value is None or one of pandas' kinds of nothing."""
    return value is None or value is pd.NA or value != value
