"""Drawing base/source pairs and their counterfactual labels.

Geiger et al. 2022, "Inducing Causal Structure for Interpretable Neural Networks", section 3: a base, one
source per intervened variable (or one shared by all), and the causal model's output under the interchange.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from iit_lab.causal.model import CausalModel, Setting

BALANCES = ("base", "source", "base_label", "counterfactual_label", "changed")
ROUNDS = 200


@runtime_checkable
class Sampler(Protocol):
    """Draws inputs of a causal model."""

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """`n` base inputs."""
        ...

    def sample_source(self, variable: str, base: Setting, generator: torch.Generator) -> Setting:
        """One source per row of `base`, for an intervention on `variable`."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Bases, sources and labels, one row per example, before a network's encoding.

    Args:
        base: the base inputs, `[n, ...]` each.
        sources: one setting per variable, or a single one that all variables share.
        variables: what is fixed.
        intervened: which row fixes which variable; None means every row fixes them all.
        base_label: the causal model's output on the base.
        counterfactual_label: its output under the interchange.
    """

    base: Setting
    sources: tuple[Setting, ...]
    variables: tuple[str, ...]
    intervened: Bool[Tensor, "n variables"] | None
    base_label: Int[Tensor, " n"]
    counterfactual_label: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.base_label)

    @property
    def by_variable(self) -> dict[str, Setting]:
        """Each variable's source, a shared one under every name."""
        sources = self.sources * len(self.variables) if len(self.sources) == 1 else self.sources
        return dict(zip(self.variables, sources, strict=True))

    def rows(self, index: Tensor) -> "Pairs":
        """The pairs at `index`, in its order (a boolean mask works too)."""
        return replace(
            self,
            base={name: value[index] for name, value in self.base.items()},
            sources=tuple({k: v[index] for k, v in source.items()} for source in self.sources),
            intervened=None if self.intervened is None else self.intervened[index],
            base_label=self.base_label[index],
            counterfactual_label=self.counterfactual_label[index],
        )


def concatenate(parts: Sequence[Pairs]) -> Pairs:
    """Pairs of the same variables, one after another."""
    first = parts[0]
    masks = [part.intervened for part in parts if part.intervened is not None]
    return replace(
        first,
        base={name: torch.cat([part.base[name] for part in parts]) for name in first.base},
        sources=tuple(
            {name: torch.cat([part.sources[i][name] for part in parts]) for name in source}
            for i, source in enumerate(first.sources)
        ),
        intervened=torch.cat(masks) if masks else None,
        base_label=torch.cat([part.base_label for part in parts]),
        counterfactual_label=torch.cat([part.counterfactual_label for part in parts]),
    )


def draw(
    model: CausalModel,
    sampler: Sampler,
    variables: Sequence[str],
    n: int,
    generator: torch.Generator,
    *,
    shared_source: bool = False,
    sets: Sequence[Sequence[str]] | None = None,
    balance: Sequence[str] = (),
    keep: Callable[[Pairs], Bool[Tensor, " n"]] | None = None,
) -> Pairs:
    """Draw `n` pairs that intervene on `variables`.

    Args:
        model: gives the labels.
        sampler: draws bases and sources.
        variables: what is fixed; none at all gives bases whose counterfactual label is their own label.
        n: how many pairs.
        generator: the only source of randomness.
        shared_source: one source fixes all variables of a row; else each variable has its own.
        sets: subsets of `variables`; each row fixes one of them, drawn uniformly. None: all of them.
        balance: make every combination of these columns equally frequent (`BALANCES`): the inner
            variables' values on the base, the intervened variables' values on their sources, the labels,
            whether the label changes. Combinations are those that occur among the first rows drawn (2 n, and
            256 at least): one that is rarer is left out.
        keep: rows to retain; others are drawn again.

    Raises:
        ValueError: if `n` < 1, `balance` is unknown, or after 200 rounds rows are still missing.
    """
    if n < 1:
        raise ValueError(f"n={n}: an empty data set; draw at least one pair")
    unknown = [column for column in balance if column not in BALANCES]
    if unknown:
        raise ValueError(f"balance={unknown}: valid are {list(BALANCES)}")
    if "source" in balance and not variables:
        raise ValueError("balance=source: no variable is intervened in")
    parts: list[Pairs] = []
    quota: dict[tuple[int, ...], int] = {}
    missing = n
    for _ in range(ROUNDS):
        size = missing if not (balance or keep) else max(2 * missing, min(n, 4096), 256)
        pool = _draw_once(model, sampler, variables, size, generator, shared_source, sets)
        if keep is not None:
            pool = pool.rows(keep(pool))
        pool = pool.rows(_pick(model, pool, balance, quota, n, missing, first=not parts))
        parts.append(pool)
        missing -= len(pool)
        if not missing:
            pairs = concatenate(parts)
            return pairs.rows(torch.randperm(n, generator=generator)) if balance else pairs
    raise ValueError(
        f"n={n}: after {ROUNDS} rounds {missing} pairs are still missing; too few distinct pairs satisfy "
        f"balance={list(balance)} and the filter"
    )


def _draw_once(
    model: CausalModel,
    sampler: Sampler,
    variables: Sequence[str],
    n: int,
    generator: torch.Generator,
    shared_source: bool,
    sets: Sequence[Sequence[str]] | None,
) -> Pairs:
    base = sampler.sample(n, generator)
    owners = variables[:1] if shared_source else variables
    sources = tuple(sampler.sample_source(owner, base, generator) for owner in owners)
    intervened = None
    if sets is not None and len(sets) > 1:
        table = torch.tensor([[name in subset for name in variables] for subset in sets])
        intervened = table[torch.randint(len(sets), (n,), generator=generator)]
    base_label = model.run(base)[model.output].long()
    label = base_label
    if variables:
        own = sources * len(variables) if shared_source else sources
        by_name = dict(zip(variables, own, strict=True))
        label = model.interchange(base, by_name, variables, intervened)[model.output].long()
    return Pairs(base, sources, tuple(variables), intervened, base_label, label)


def _pick(
    model: CausalModel,
    pool: Pairs,
    balance: Sequence[str],
    quota: dict[tuple[int, ...], int],
    n: int,
    missing: int,
    *,
    first: bool,
) -> Int[Tensor, " picked"]:
    """Rows of the pool to take; `quota` keeps, between rounds, what each stratum still lacks."""
    if not balance:
        return torch.arange(min(missing, len(pool)))
    columns = torch.stack([column for name in balance for column in _columns(model, pool, name)], dim=1)
    strata, member = torch.unique(columns, dim=0, return_inverse=True)
    keys = [tuple(row) for row in strata.tolist()]
    if first:
        share, extra = divmod(n, len(keys))
        quota.update({key: share + (i < extra) for i, key in enumerate(keys)})
    picked = []
    for i, key in enumerate(keys):
        rows = (member == i).nonzero().squeeze(1)[: quota.get(key, 0)]
        quota[key] = quota.get(key, 0) - len(rows)
        picked.append(rows)
    return torch.cat(picked)


def _columns(model: CausalModel, pool: Pairs, name: str) -> list[Int[Tensor, " n"]]:
    if name == "base_label":
        return [pool.base_label]
    if name == "counterfactual_label":
        return [pool.counterfactual_label]
    if name == "changed":
        return [(pool.base_label != pool.counterfactual_label).long()]
    if name == "base":
        values = model.run(pool.base)
        columns = [values[inner] for inner in model.inner]
    else:
        columns = [model.run(source)[name] for name, source in pool.by_variable.items()]
    if any(column.ndim > 1 or column.is_floating_point() for column in columns):
        raise ValueError(f"balance={name}: only discrete variables can be balanced")
    return [column.long() for column in columns]


def distinguish(
    model: CausalModel,
    other: CausalModel,
    pairs: Pairs,
    other_variables: Sequence[str] | None = None,
) -> float:
    """Share of pairs whose counterfactual labels differ between two causal models.

    Args:
        model: the first model; `pairs.variables` are its own.
        other: the second one, over the same inputs.
        pairs: bases and sources.
        other_variables: the second model's variables standing for `pairs.variables`, in the same order.
    """
    names = tuple(other_variables or pairs.variables)
    sources = pairs.by_variable
    first = model.interchange(pairs.base, sources, pairs.variables, pairs.intervened)
    renamed = dict(zip(names, sources.values(), strict=True))
    second = other.interchange(pairs.base, renamed, names, pairs.intervened)
    return (first[model.output] != second[other.output]).float().mean().item()
