"""Data sets of a run: drawn by the policy, encoded by the task, distinct between splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.counterfactuals import Pairs, draw
from iit_lab.causal.policy import CounterfactualPolicy, expand_sets
from iit_lab.randomness import generator_for
from iit_lab.tasks.base import Task

ENTRIES = 2**23
Predictor = Callable[[Shaped[Tensor, "batch *input"]], Int[Tensor, " batch"]]


@dataclass(frozen=True)
class Splits:
    """Training, validation and test data, one `InterchangeBatch` per set of variables.

    Args:
        train: training data.
        val: validation data.
        test: what is reported.
        beside: what is reported beside it, by name, such as pairs of inputs that were trained on.
    """

    train: tuple[InterchangeBatch, ...]
    val: tuple[InterchangeBatch, ...]
    test: tuple[InterchangeBatch, ...]
    beside: Mapping[str, tuple[InterchangeBatch, ...]] = field(default_factory=dict)


def encode(task: Task, pairs: Pairs) -> InterchangeBatch:
    """Pairs as the network reads them."""
    base = task.encode(pairs.base)
    sources = [task.encode(source) for source in pairs.sources]
    return InterchangeBatch(
        base=base,
        sources=torch.stack(sources) if sources else base.new_empty((0, *base.shape)),
        variables=pairs.variables,
        intervened=pairs.intervened,
        base_label=pairs.base_label,
        counterfactual_label=pairs.counterfactual_label,
    )


def draw_splits(
    task: Task,
    policy: CounterfactualPolicy,
    variables: Sequence[str],
    seed: int,
    *,
    limit: int | None = None,
    predict: Predictor | None = None,
) -> Splits:
    """Draw all splits; no pair of one split occurs in an earlier one.

    Behaviour alone is the exception where the task says by its `note` that its inputs are too few for it.

    Args:
        task: draws, labels and encodes.
        policy: what to draw.
        variables: the aligned variables.
        seed: of the run; each split and set has a generator of its own.
        limit: at most so many pairs per set.
        predict: the network's classes, for `filter=correct`.

    Raises:
        ValueError: if a set of variables is unknown, or the input space is too small for distinct splits.
    """
    train_sets = expand_sets(policy.train_sets, variables, "train_sets") or [()]
    test_sets = expand_sets(policy.test_sets, variables, "test_sets") or [()]
    if policy.filter == "correct" and predict is None:
        raise ValueError("filter=correct: needs a network's predictions")
    seen: list[Tensor] = []
    correct = partial(_correct, task, predict) if policy.filter == "correct" and predict else None

    def one(split: str, names: tuple[str, ...], n: int, sets: Sequence[Sequence[str]] | None):
        distinct = bool(seen) and split not in task.beside and not (task.note and not names)
        earlier = torch.cat(seen) if distinct else torch.empty(0, dtype=torch.long)

        def keep(pairs: Pairs) -> Bool[Tensor, " n"]:
            kept = torch.ones(len(pairs), dtype=torch.bool) if correct is None else correct(pairs)
            return kept & ~torch.isin(_fingerprints(encode(task, pairs)), earlier) if distinct else kept

        pairs = draw(
            task.causal_model,
            task.part(split),
            names,
            n if limit is None else min(n, limit),
            generator_for(seed, "data", split, "+".join(names)),
            shared_source=policy.sources == "single",
            sets=sets,
            balance=policy.balance if names else (),
            keep=keep if distinct or correct else None,
        )
        return encode(task, pairs)

    if policy.mixed and len(train_sets) > 1:
        names = tuple(name for name in variables if any(name in subset for subset in train_sets))
        train = [one("train", names, policy.n_train, train_sets)]
    else:
        share = max(1, policy.n_train // len(train_sets))
        train = [one("train", names, share, None) for names in train_sets]
    seen.extend(_fingerprints(batch) for batch in train)
    val = [one("val", names, policy.n_val, None) for names in test_sets]
    seen.extend(_fingerprints(batch) for batch in val)
    test = [one("test", names, policy.n_test, None) for names in test_sets]
    beside = {
        part: tuple(one(part, names, policy.n_test, None) for names in test_sets) for part in task.beside
    }
    return Splits(tuple(train), tuple(val), tuple(test), beside)


def _correct(task: Task, predict: Predictor, pairs: Pairs) -> Bool[Tensor, " n"]:
    right = predict(task.encode(pairs.base)) == pairs.base_label
    for source in pairs.sources:
        label = task.causal_model.run(source)[task.causal_model.output].long()
        right &= predict(task.encode(source)) == label
    return right


def _fingerprints(batch: InterchangeBatch) -> Int[Tensor, " rows"]:
    """Of every pair: its base and its sources."""
    return fingerprints([batch.base, *batch.sources])


def fingerprints(parts: Sequence[Shaped[Tensor, "rows ..."]]) -> Int[Tensor, " rows"]:
    """A 64-bit fingerprint of every row of all parts together: different rows practically never share one."""
    width = sum(part[0].numel() for part in parts)
    factors = torch.randint(1, 2**62, (width,), generator=torch.Generator().manual_seed(1)) | 1
    at_once = max(1, ENTRIES // width)
    found = []
    for start in range(0, len(parts[0]), at_once):  # the bits of all rows at once would outweigh the data
        bits = _bits(torch.cat([part[start : start + at_once].flatten(1) for part in parts], dim=1))
        mixed = bits * factors[: bits.shape[1]]
        found.append((mixed ^ (mixed >> 31)).sum(1))
    return torch.cat(found)


def _bits(rows: Shaped[Tensor, "rows width"]) -> Int[Tensor, "rows some"]:
    if rows.is_floating_point():
        return (rows.float() + 0.0).view(torch.int32).long()  # adding 0 makes -0 the 0 that it equals
    if rows.dtype == torch.uint8:
        return torch.nn.functional.pad(rows, (0, -rows.shape[1] % 8)).view(torch.int64)
    return rows.long()
