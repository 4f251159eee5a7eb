"""What sets the configs of many runs apart, kept as each one's difference from the first."""

from collections.abc import Iterator, Mapping
from typing import Any

from iit_lab.results.record import OUTSIDE

ABSENT: Any = object()
"""In place of a value that a config does not have."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of a plain config and their values; lists are values, an empty mapping is nothing."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif value is not ABSENT:
        yield path, value


def changes(
    reference: Mapping[str, Any], config: Mapping[str, Any], path: str = "", outside: bool = False
) -> Iterator[tuple[str, Any, bool]]:
    """Leaves in which a config differs from another.

    Equal parts are passed over whole, which is what makes 10 000 configs quick to compare. Values that
    Python holds equal are the same: 1, 1.0 and true.

    Args:
        reference: the other config.
        config: of the run.
        path: dotted key of both within the run's config.
        outside: whether they are outside the fingerprint.

    Yields:
        Dotted key, this config's value (`ABSENT` if it has none), whether it is outside the fingerprint.
    """
    whole = not path or ("job" in config and "task" in config)
    for key in {**reference, **config}:
        old, new = reference.get(key, ABSENT), config.get(key, ABSENT)
        if old == new:
            continue
        dotted = f"{path}.{key}" if path else str(key)
        apart = outside or (whole and key in OUTSIDE)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changes(old, new, dotted, apart)
        else:
            yield from ((leaf, ABSENT, apart) for leaf, _ in leaves(old, dotted))
            yield from ((leaf, value, apart) for leaf, value in leaves(new, dotted))
