"""Hierarchical equality: does (a equals b) agree with (c equals d)?

Geiger et al. 2024, "Finding Alignments Between Interpretable Causal Variables and Distributed Neural
Representations", section 4.1. Objects are random vectors, so that a network cannot memorise them.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from iit_lab.causal.model import CausalModel, Setting, Variable
from iit_lab.tasks.base import Task

Objects = Float[Tensor, "batch dim"]
OBJECTS = ("a", "b", "c", "d")


def _equal(left: Objects, right: Objects) -> Bool[Tensor, " batch"]:
    return (left == right).all(dim=-1)


def _agree(left: Bool[Tensor, " batch"], right: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    return left == right


def _inputs() -> list[Variable]:
    return [Variable(name) for name in OBJECTS]


def equality() -> CausalModel:
    """The two equality relations, then their agreement."""
    left = Variable("left_equality", ("a", "b"), _equal)
    right = Variable("right_equality", ("c", "d"), _equal)
    return CausalModel([*_inputs(), left, right, Variable("same", (left.name, right.name), _agree)], "same")


def first_argument() -> CausalModel:
    """The same function, with the identity of the first object kept in a variable of its own."""
    first = Variable("first_argument", ("a",), lambda a: a)
    left = Variable("left_equality", (first.name, "b"), _equal)
    right = Variable("right_equality", ("c", "d"), _equal)
    same = Variable("same", (left.name, right.name), _agree)
    return CausalModel([*_inputs(), first, left, right, same], "same")


def crossed() -> CausalModel:
    """A wrong graph: it compares the first object of each pair, and the second of each."""
    firsts = Variable("first_equality", ("a", "c"), _equal)
    seconds = Variable("second_equality", ("b", "d"), _equal)
    same = Variable("same", (firsts.name, seconds.name), _agree)
    return CausalModel([*_inputs(), firsts, seconds, same], "same")


HYPOTHESES = {
    # hypothesis: (causal model, variables to intervene in, pairs of objects equal half of the time)
    "equality": (equality, ("left_equality", "right_equality"), ("ab", "cd")),
    "first_argument": (first_argument, ("first_argument",), ("ab", "cd")),
    "crossed": (crossed, ("first_equality", "second_equality"), ("ac", "bd")),
}


class HierarchicalEquality(Task):
    """Four objects, two classes: 1 if both pairs are equal or both are not.

    Each pair is equal in half of the examples, so that both labels are equally frequent.

    Args:
        embedding_dim: entries of an object's vector.
        low: smallest entry.
        high: largest entry.
        decimals: round the entries to so many decimals; None keeps them continuous.
        hypothesis: the causal model to align or train with, one of `HYPOTHESES`.

    Raises:
        ValueError: for an unknown hypothesis or an empty range.
    """

    n_classes = 2

    def __init__(
        self,
        embedding_dim: int = 4,
        low: float = -0.5,
        high: float = 0.5,
        decimals: int | None = None,
        hypothesis: str = "equality",
    ) -> None:
        if hypothesis not in HYPOTHESES:
            raise ValueError(f"hypothesis={hypothesis}: valid are {list(HYPOTHESES)}")
        if embedding_dim < 1:
            raise ValueError(f"embedding_dim={embedding_dim}: an object needs at least one entry")
        if not low < high:
            raise ValueError(f"low={low}: must be below high={high}")
        self.embedding_dim, self.low, self.high, self.decimals = embedding_dim, low, high, decimals
        self.hypothesis = hypothesis
        build, self.variables, self._pairs = HYPOTHESES[hypothesis]
        self.causal_model = build()
        self.input_shape = (4 * embedding_dim,)

    def _objects(self, n: int, generator: torch.Generator) -> Objects:
        entries = torch.rand(n, self.embedding_dim, generator=generator).mul_(self.high - self.low)
        entries.add_(self.low)
        return entries if self.decimals is None else entries.round(decimals=self.decimals)

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Two independent pairs, each equal with probability one half."""
        setting = {}
        for first, second in self._pairs:
            setting[first] = self._objects(n, generator)
            equal = torch.rand(n, 1, generator=generator) < 0.5
            setting[second] = torch.where(equal, setting[first], self._objects(n, generator))
        return setting

    def sample_source(self, variable: str, base: Setting, generator: torch.Generator) -> Setting:
        """Independent of the base, but for `first_argument`.

        There the source's first object is the base's second one in half of the rows: two random objects
        are never equal, and the counterfactual label would always be the one for "not equal".
        """
        source = dict(self.sample(len(base["a"]), generator))
        if variable == "first_argument":
            equal = _equal(source["a"], source["b"]).unsqueeze(1)
            matched = torch.rand(len(base["a"]), 1, generator=generator) < 0.5
            source["a"] = torch.where(matched, base["b"], source["a"])
            source["b"] = torch.where(equal, source["a"], source["b"])
        return source

    def encode(self, setting: Setting) -> Float[Tensor, "batch inputs"]:
        """The four vectors, one after another."""
        return torch.cat([setting[name] for name in OBJECTS], dim=-1)

    def wrong(self) -> Task | None:
        """The crossed graph, for a hypothesis with two variables."""
        if len(self.variables) != 2 or self.hypothesis == "crossed":
            return None
        return HierarchicalEquality(self.embedding_dim, self.low, self.high, self.decimals, "crossed")
