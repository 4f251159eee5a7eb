"""The sum of three numbers from 1 to 10, as a prompt: `X+Y+Z=`.

The task of the DAS thesis (Pislar 2024): 1 000 prompts, 28 classes, the sum minus 3. The
hypotheses are that a network adds two of the numbers first, keeps one of them, or adds all three at once.
"""

from typing import ClassVar

import torch
from jaxtyping import Int
from torch import Tensor

from iit_lab.causal.model import CausalModel, Setting, Variable
from iit_lab.models.tokenizers import Tokenizer
from iit_lab.randomness import generator_for
from iit_lab.tasks.base import Sampler, Task
from iit_lab.tasks.listed import Listed, split

NUMBERS = ("X", "Y", "Z")
LOW, HIGH = 1, 10
SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def partial_sum(terms: str) -> CausalModel:
    """P is the sum of some of the numbers, the output adds the others: (X+Y)+Z for `XY`, X+(Y)+Z for `Y`.

    Args:
        terms: which of X, Y and Z are in P.

    Raises:
        ValueError: for anything else.
    """
    if not terms or not set(terms) <= set(NUMBERS) or list(terms) != sorted(set(terms)):
        raise ValueError(f"terms={terms}: letters of XYZ, in that order, such as XY")
    rest = tuple(name for name in NUMBERS if name not in terms)
    smallest = LOW * len(NUMBERS)
    first = Variable("P", tuple(terms), lambda *numbers: torch.stack(numbers).sum(0))
    total = Variable("sum", ("P", *rest), lambda *parts: torch.stack(parts).sum(0) - smallest)
    return CausalModel([*map(Variable, NUMBERS), first, total], "sum")


class ArithmeticSum(Task):
    """1 000 prompts, 28 classes.

    Args:
        tokenizer: of the network; None is refused.
        causal_model: the hypothesis, see `partial_sum`.
        holdout: split the prompts 70 / 20 / 10 into training, validation and test: what is reported as `test`
            is of unseen prompts, `seen` and `all` are reported beside it. Otherwise every part has all
            prompts, as in the thesis.
        split_seed: which prompts go where, the same for a network and whatever is aligned with it.

    Raises:
        ValueError: without a tokenizer, if it gives prompts of different lengths, or for other models.
    """

    variables = ("P",)
    n_classes = len(NUMBERS) * (HIGH - LOW) + 1
    answers: ClassVar[tuple[str, ...]] = tuple(
        str(total) for total in range(len(NUMBERS) * LOW, len(NUMBERS) * HIGH + 1)
    )

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        causal_model: CausalModel,
        holdout: bool = True,
        split_seed: int = 0,
    ) -> None:
        if tokenizer is None:
            raise ValueError("tokenizer=null: prompts need one; choose a model that reads text")
        if set(causal_model.inputs) != set(NUMBERS):
            raise ValueError(f"causal_model: is of {list(causal_model.inputs)}, not of {list(NUMBERS)}")
        self.causal_model, self._tokenizer = causal_model, tokenizer
        self._holdout, self._split_seed = holdout, split_seed
        numbers = torch.arange(LOW, HIGH + 1)
        grid = torch.cartesian_prod(*[numbers] * len(NUMBERS))
        self.inputs = self._all = Listed(dict(zip(NUMBERS, grid.unbind(1), strict=True)))
        self._tokens = tokenizer.encode(["+".join(map(str, row)) + "=" for row in grid.tolist()])
        self.input_shape = (self._tokens.shape[1],)
        self._parts = {"all": self._all}
        if holdout:
            self._parts |= split(self._all, SHARES, generator_for(split_seed, "split"))
            self._parts["seen"] = self._parts["train"]
            self.beside = ("seen", "all")
        else:
            self.note = "every prompt is trained on: test prompts are not unseen"

    def part(self, name: str) -> Sampler:
        """`train`, `val`, `test`, `seen` and `all`."""
        return self._parts.get(name, self._all)

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Each of the 1 000 inputs equally often."""
        return self._all.sample(n, generator)

    def encode(self, setting: Setting) -> Int[Tensor, "batch tokens"]:
        """Token ids of the prompts, which have all been tokenized once."""
        base = HIGH - LOW + 1
        rows = sum(((setting[name] - LOW) * base**i for i, name in enumerate(reversed(NUMBERS))), start=0)
        return self._tokens[rows]

    def wrong(self) -> Task | None:
        """The same shape of model over other numbers: X+(Y+Z) for (X+Y)+Z; none for the whole sum."""
        terms = self.causal_model.graph().predecessors("P")
        moved = sorted(NUMBERS[(NUMBERS.index(name) + 1) % len(NUMBERS)] for name in terms)
        if len(moved) == len(NUMBERS):
            return None
        return ArithmeticSum(self._tokenizer, partial_sum("".join(moved)), self._holdout, self._split_seed)
