"""Tokenizers: how a task's prompts become a network's inputs. Named in the model's config."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PATTERN = r"\d+|[A-Za-z]+|[^\sA-Za-z\d]"
"""A word: a number, a run of letters, or any other single character."""


class Tokenizer:
    """A Hugging Face tokenizer that gives prompts of one length as a tensor.

    Args:
        tokenizer: of the `transformers` library.
        name: for messages.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", name: str) -> None:
        self.tokenizer, self.name = tokenizer, name

    def __len__(self) -> int:
        """Entries of the vocabulary."""
        return len(self.tokenizer)

    def encode(self, prompts: Sequence[str]) -> Int[Tensor, "batch tokens"]:
        """Token ids.

        Raises:
            ValueError: for prompts of different lengths, or one with a word that is not in the vocabulary.
        """
        rows = self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        lengths = {len(row): prompt for row, prompt in zip(rows, prompts, strict=True)}
        if len(lengths) > 1:
            few = ", ".join(f"{prompt!r} has {n}" for n, prompt in sorted(lengths.items())[:2])
            raise ValueError(f"tokenizer={self.name}: prompts have different numbers of tokens: {few}")
        unknown = self.tokenizer.unk_token_id
        for row, prompt in zip(rows, prompts, strict=True):
            if unknown is not None and unknown in row:
                raise ValueError(f"tokenizer={self.name}: {prompt!r} has a word that it does not know")
        return torch.tensor(rows)

    def single(self, words: Sequence[str]) -> tuple[int, ...]:
        """The ids of words that are one token each.

        Raises:
            ValueError: for a word that is several tokens, or unknown.
        """
        try:
            ids = self.encode(words)
        except ValueError as error:
            raise ValueError(f"tokenizer={self.name}: answers must be one token each ({error})") from error
        if ids.shape[1] != 1:
            raise ValueError(f"tokenizer={self.name}: answers must be one token each, such as {words[0]!r}")
        return tuple(chain.from_iterable(ids.tolist()))


def word_level(words: Sequence[str]) -> Tokenizer:
    """One token per word: numbers, runs of letters, any other character alone.

    Args:
        words: the vocabulary, in the order of the ids; id 0 stands for anything else.

    Raises:
        ValueError: for a word that is given twice.
    """
    from tokenizers import Regex
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import PreTrainedTokenizerFast

    repeated = sorted({word for word in words if list(words).count(word) > 1})
    if repeated:
        raise ValueError(f"words={repeated}: each word once")
    backend = Backend(WordLevel({word: i for i, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    backend.pre_tokenizer = Split(Regex(PATTERN), "removed", invert=True)  # pyright: ignore[reportAttributeAccessIssue]
    return Tokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"), "word_level")


def pretrained(name: str) -> Tokenizer:
    """A tokenizer of the hub, or of a folder.

    Args:
        name: as `transformers.AutoTokenizer.from_pretrained` takes it.

    Raises:
        ValueError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return Tokenizer(AutoTokenizer.from_pretrained(name), name)
    except (OSError, ValueError) as error:
        raise ValueError(f"name={name}: no tokenizer can be loaded ({str(error).splitlines()[0]})") from None
