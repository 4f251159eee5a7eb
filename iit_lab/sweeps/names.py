"""The name of a cell: readable, made of nothing but its overrides."""

import hashlib
import re
from collections.abc import Container, Sequence

LONGEST = 120
_SAFE = re.compile(r"[A-Za-z0-9._-]+")
_PARTS_LOOK_LIKE_KEYS = re.compile(r"_[A-Za-z0-9.]+-")


def cell_name(overrides: Sequence[str], without: Container[str] = ()) -> str:
    """`layer-0_rank-4_seed-1` for `alignment.layer=0 intervention.rank=4 seed=1`.

    The same overrides have the same name in any order; different ones have different names: where a value
    is changed, cut or ambiguous, a hash of the overrides follows.

    Args:
        overrides: `key=value`, as typed.
        without: keys, and first parts of keys, that are left out.

    Returns:
        At most `LONGEST` characters out of [A-Za-z0-9._-]; `defaults` if nothing is left.
    """
    kept = sorted(text for text in overrides if not _left_out(_split(text)[0], without))
    if not kept:
        return "defaults"
    pairs = [_split(text) for text in kept]
    last = [key.rpartition(".")[2] for key, _ in pairs]
    labels = [key if last.count(part) > 1 else part for (key, _), part in zip(pairs, last, strict=True)]
    exact = "_".join(f"{label}-{value}" for label, (_, value) in zip(labels, pairs, strict=True))
    faithful = all(
        _SAFE.fullmatch(label) and _SAFE.fullmatch(value) and not _PARTS_LOOK_LIKE_KEYS.search(value)
        for label, (_, value) in zip(labels, pairs, strict=True)
    )
    if faithful and len(exact) <= LONGEST and not any(text.startswith(("+", "~")) for text in kept):
        return exact
    digest = hashlib.sha256("\n".join(kept).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9._]+", "-", exact).strip("-.")[: LONGEST - len(digest) - 1]
    return f"{readable}-{digest}"


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def _left_out(key: str, without: Container[str]) -> bool:
    return key in without or re.split(r"[./@]", key)[0] in without
