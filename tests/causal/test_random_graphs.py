"""Interchange interventions on random graphs, against a recursion over one example at a time."""

import random
from functools import cache

import pytest
import torch

from iit_lab.causal.model import CausalModel, Variable
from iit_lab.randomness import generator_for

N = 6


def mechanism(coefficients: tuple[int, ...]):
    return lambda *parents: sum(c * p for c, p in zip(coefficients, parents, strict=True)) % 97 + 1


def random_graph(seed: int):
    """Three inputs and five more variables, each of one to three earlier ones: parents, coefficients."""
    chance = random.Random(seed)
    names = [f"v{i}" for i in range(8)]
    parents: dict[str, tuple[str, ...]] = {name: () for name in names[:3]}
    for i in range(3, 8):
        parents[names[i]] = tuple(chance.sample(names[:i], chance.randint(1, 3)))
    weights = {name: tuple(chance.randint(1, 9) for _ in before) for name, before in parents.items()}
    variables = [
        Variable(name, before, mechanism(weights[name]) if before else None)
        for name, before in parents.items()
    ]
    chance.shuffle(variables)
    fixed = tuple(sorted(chance.sample(names, 3)))
    return CausalModel(variables, "v7"), parents, weights, fixed


def value_of(name, setting, parents, weights, fixed):
    """One variable on one example, by recursion."""

    @cache
    def value(name: str) -> int:
        if name in fixed:
            return fixed[name]
        if not parents[name]:
            return setting[name]
        return sum(c * value(p) for c, p in zip(weights[name], parents[name], strict=True)) % 97 + 1

    return value(name)


def settings(count: int, seed: int):
    generator = generator_for(seed, "settings")
    return [{f"v{i}": torch.randint(97, (N,), generator=generator) for i in range(3)} for _ in range(count)]


def row(setting, i: int) -> dict[str, int]:
    return {name: int(value[i]) for name, value in setting.items()}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_against_a_recursion_per_example(seed, masked, shared):
    model, parents, weights, fixed = random_graph(seed)
    base, *own = settings(4, seed)
    sources = dict(zip(fixed, own[:1] * 3 if shared else own, strict=True))
    mask = torch.rand(N, 3, generator=generator_for(seed, "mask")) < 0.5 if masked else None

    found = model.interchange(base, own[0] if shared else sources, fixed, mask)

    for i in range(N):
        values = {
            name: value_of(name, row(sources[name], i), parents, weights, {})
            for j, name in enumerate(fixed)
            if mask is None or mask[i, j]
        }
        expected = {name: value_of(name, row(base, i), parents, weights, values) for name in parents}
        assert {name: int(found[name][i]) for name in parents} == expected
