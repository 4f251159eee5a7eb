"""What sets the configs of many runs apart, kept as each one's difference from the first."""

from collections.abc import Iterator, Mapping
from typing import Any

from iit_lab.results.record import OUTSIDE

ABSENT: Any = object()
"""In place of a value that a config does not have."""


class Differing:
    """Compares configs with a reference, and remembers in which keys any of them differs.

    Equal parts are passed over whole, which is what makes 10 000 configs quick to compare. Values that
    Python holds equal are the same: 1, 1.0 and true.

    Args:
        reference: what the others are compared with.

    Attributes:
        common: leaves of the reference.
        keys: leaves in which a config differed so far, but for those outside the fingerprint.
    """

    def __init__(self, reference: Mapping[str, Any]) -> None:
        self._reference = reference
        self.common = dict(leaves(reference))
        self.keys: set[str] = set()

    def changes(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Leaves in which a config differs from the reference; `ABSENT` where it has none."""
        found: dict[str, Any] = {}
        self._compare(self._reference, config, "", False, found)
        return found

    def _compare(
        self,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        prefix: str,
        outside: bool,
        found: dict[str, Any],
    ) -> None:
        """Add what differs between two nodes to `found`; nested configs have an outside of their own."""
        whole = not prefix or ("job" in new and "task" in new)
        for key in new if old.keys() == new.keys() else {**old, **new}:
            before, after = old.get(key, ABSENT), new.get(key, ABSENT)
            if before == after:
                continue
            dotted = f"{prefix}{key}"
            apart = outside or (whole and key in OUTSIDE)
            if isinstance(before, dict) and isinstance(after, dict):
                self._compare(before, after, f"{dotted}.", apart, found)
                continue
            changed = dict.fromkeys((leaf for leaf, _ in leaves(before, dotted)), ABSENT)
            changed.update(leaves(after, dotted))
            found.update(changed)
            if not apart:
                self.keys.update(changed)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of a plain config and their values; lists are values, an empty mapping is nothing."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif value is not ABSENT:
        yield path, value
