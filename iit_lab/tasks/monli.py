"""Monotonicity natural language inference (MoNLI): does one sentence entail another, negated or not?

Geiger, Richardson and Potts 2020; aligned in the DAS paper (Geiger et al. 2024, section 4.2): the label is
the entailment between the two words that differ, turned around under negation.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from iit_lab.causal.model import CausalModel, Setting, Variable
from iit_lab.models.tokenizers import Tokenizer
from iit_lab.randomness import seed_of
from iit_lab.tasks.base import Sampler, Task
from iit_lab.tasks.listed import Listed
from iit_lab.tasks.monli_files import Example, fetch, read

VALIDATION = 0.1
"""Share of the training words' examples that is for validation."""


def entailment() -> CausalModel:
    """Lexical entailment and negation, then the label: 1 for entailment."""
    lexical = Variable("lexical_entailment", ("relation",), lambda relation: relation)
    negation = Variable("negation", ("negated",), lambda negated: negated)
    label = Variable("entailment", (lexical.name, negation.name), _label)
    inputs = map(Variable, ("row", "relation", "negated"))
    return CausalModel([*inputs, lexical, negation, label], label.name)


def _label(lexical: Bool[Tensor, " batch"], negation: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    return lexical != negation


class MoNLI(Task):
    """Pairs of sentences, two classes.

    Test examples are `nmonli_test`, all negated, and those of `pmonli`, none negated, whose two words both
    occur there. Examples with one such word are left out: no word of a test example occurs in training.

    Args:
        tokenizer: of the network; None is refused.
        folder: holds the three files; missing ones are fetched there if `download`.
        download: whether to.
        longest: examples of more tokens are left out.
        split_seed: which examples are for validation.

    Raises:
        ValueError: without a tokenizer, for files that are missing or malformed, or if nothing is left.
    """

    variables = ("lexical_entailment", "negation")
    n_classes = 2

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        folder: str | None,
        download: bool = False,
        longest: int = 40,
        split_seed: int = 0,
    ) -> None:
        if tokenizer is None:
            raise ValueError("tokenizer=null: sentences need one; choose a model that reads text")
        if folder is None:
            raise ValueError("folder=null: name the folder with MoNLI's files, or one to download them to")
        self.causal_model = entailment()
        with_files = Path(folder)
        if download:
            fetch(with_files)
        files = read(with_files)
        parts = split(files, split_seed)
        examples = [example for part in parts.values() for example in part]
        tokens, lengths = tokenizer.pairs(*zip(*[(e.premise, e.hypothesis) for e in examples], strict=True))
        short = lengths <= longest
        if not short.any():
            raise ValueError(f"longest={longest}: the shortest pair has {int(lengths.min())} tokens")
        self._tokens = tokens[:, :, : int(lengths[short].max())]
        self.input_shape = tuple(self._tokens.shape[1:])
        self._parts = {name: _listed(rows, examples, short) for name, rows in _numbered(parts).items()}
        for name, part in self._parts.items():
            if not len(part):
                raise ValueError(f"longest={longest}: leaves no {name} examples")

    def part(self, name: str) -> Sampler:
        """`train`, `val` and `test`."""
        return self._parts[name]

    def sample(self, n: int, generator: torch.Generator) -> Setting:
        """Training examples, each equally often."""
        return self._parts["train"].sample(n, generator)

    def encode(self, setting: Setting) -> Int[Tensor, "batch 2 tokens"]:
        """Tokens of both sentences, and which sentence each is of."""
        return self._tokens[setting["row"]]

    def sizes(self) -> dict[str, int]:
        """Examples of each part."""
        return {name: len(part) for name, part in self._parts.items()}


def split(files: dict[str, list[Example]], seed: int) -> dict[str, list[Example]]:
    """Training, validation and test examples without a word of the test in the other two.

    Args:
        files: by name.
        seed: which training examples are for validation.
    """
    held_out = {word for example in files["nmonli_test"] for word in example.words}
    test, rest = list(files["nmonli_test"]), []
    for example in (*files["nmonli_train"], *files["pmonli"]):
        seen = held_out.isdisjoint(example.words)
        if seen:
            rest.append(example)
        elif not example.negated and held_out.issuperset(example.words):
            test.append(example)
    random.Random(seed_of(seed, "monli")).shuffle(rest)
    n = round(VALIDATION * len(rest))
    return {"train": rest[n:], "val": rest[:n], "test": test}


def _numbered(parts: dict[str, list[Example]]) -> dict[str, range]:
    bounds, start = {}, 0
    for name, part in parts.items():
        bounds[name] = range(start, start := start + len(part))
    return bounds


def _listed(rows: range, examples: Sequence[Example], short: Bool[Tensor, " examples"]) -> Listed:
    kept = [row for row in rows if short[row]]
    return Listed(
        {
            "row": torch.tensor(kept, dtype=torch.long),
            "relation": torch.tensor([examples[row].lexical for row in kept], dtype=torch.bool),
            "negated": torch.tensor([examples[row].negated for row in kept], dtype=torch.bool),
        }
    )
