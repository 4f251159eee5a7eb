"""Named random generators: every draw comes from the config's seed, whatever else ran before."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose, such as `seed_of(0, "data", "train")`."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_for(seed: int, *names: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose; the same arguments give the same numbers."""
    return torch.Generator().manual_seed(seed_of(seed, *names))


@contextmanager
def seeding(generator: torch.Generator) -> Iterator[None]:
    """Within it torch's global generator, from which libraries draw weights, follows an explicit one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield
