"""Patterns of four objects W X Y Z: does `ABAB` hold, that is, W equals Y and X equals Z?

The pattern task of the DAS thesis, whose hypotheses are wrong for a network that has learnt another pattern.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.causal.model import CausalModel, Setting, Variable
from iit_lab.tasks.base import Task

OBJECTS = ("W", "X", "Y", "Z")


def pairs_of(pattern: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Which objects a pattern wants equal: (W, Y) and (X, Z) for `ABAB`.

    Raises:
        ValueError: unless it has two letters, each twice.
    """
    letters = list(dict.fromkeys(pattern))
    if len(pattern) != len(OBJECTS) or any(pattern.count(letter) != 2 for letter in letters):
        raise ValueError(f"pattern={pattern}: four letters, two of each, such as ABAB")
    found = [
        tuple(name for name, own in zip(OBJECTS, pattern, strict=True) if own == each) for each in letters
    ]
    (first, second), (third, fourth) = found
    return (first, second), (third, fourth)


def pattern_model(pattern: str) -> CausalModel:
    """Both equalities of a pattern, and whether they hold together.

    Args:
        pattern: such as `ABAB`, `AABB` or `ABBA`.

    Raises:
        ValueError: for anything else.
    """
    first, second = pairs_of(pattern)
    return CausalModel(
        [
            *map(Variable, OBJECTS),
            Variable("first_equality", first, _equal),
            Variable("second_equality", second, _equal),
            Variable("holds", ("first_equality", "second_equality"), torch.logical_and),
        ],
        "holds",
    )


def _equal(left: Tensor, right: Tensor) -> Tensor:
    return (left == right).all(dim=-1)


class Patterns(Task):
    """Four objects, two classes: 1 if the causal model's pattern holds.

    Each of the pattern's pairs is equal with probability one half, independently: objects that are not asked
    to be equal never are. Fixing one equality to its value on another input changes a quarter of the labels.

    Args:
        causal_model: the hypothesis, see `pattern_model`; it also says which inputs are drawn.
        embedding_dim: entries of an object's vector, uniform in [-0.5, 0.5].
        together: both pairs are equal or neither is, as in the thesis; half of the labels are 1 then, but
            either equality alone gives them away.

    Raises:
        ValueError: for an object without entries, or another task's causal model.
    """

    n_classes = 2
    variables = ("first_equality", "second_equality")

    def __init__(self, causal_model: CausalModel, embedding_dim: int = 4, together: bool = False) -> None:
        if embedding_dim < 1:
            raise ValueError(f"embedding_dim={embedding_dim}: an object needs at least one entry")
        if set(causal_model.inputs) != set(OBJECTS):
            raise ValueError(f"causal_model: is of {list(causal_model.inputs)}, not of {list(OBJECTS)}")
        self.causal_model, self.embedding_dim, self.together = causal_model, embedding_dim, together
        graph = causal_model.graph()
        self._pairs = [tuple(sorted(graph.predecessors(name))) for name in self.variables]
        self.input_shape = (len(OBJECTS) * embedding_dim,)

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Random objects, the second of a pair copied from the first where the pair is to be equal."""
        objects = torch.rand(len(OBJECTS), n, self.embedding_dim, generator=generator).sub_(0.5)
        setting: dict[str, Tensor] = dict(zip(OBJECTS, objects, strict=True))
        equal = torch.rand(len(self._pairs), n, 1, generator=generator) < 0.5
        for i, (first, second) in enumerate(self._pairs):
            setting[second] = torch.where(equal[0 if self.together else i], setting[first], setting[second])
        return setting

    def encode(self, setting: Setting) -> Float[Tensor, "batch inputs"]:
        """The four vectors, one after another."""
        return torch.cat([setting[name] for name in OBJECTS], dim=-1)
