"""Tokenizers: how a task's prompts become a network's inputs. Named in the model's config."""

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from iit_lab.models.hugging_face import located

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

    def pairs(
        self, first: Sequence[str], second: Sequence[str]
    ) -> tuple[Int[Tensor, "batch 2 tokens"], Int[Tensor, " batch"]]:
        """Two sentences each, with the network's own separators, padded to the longest pair.

        Returns:
            Token ids and which sentence each token is of; how many tokens each pair has.

        Raises:
            ValueError: if the tokenizer has no token for padding.
        """
        if self.tokenizer.pad_token_id is None:
            raise ValueError(f"tokenizer={self.name}: has no token for padding")
        found = self.tokenizer(
            list(first), list(second), padding=True, return_tensors="pt", return_token_type_ids=True
        )
        ids, segments, mask = (found[key] for key in ("input_ids", "token_type_ids", "attention_mask"))
        return torch.stack([ids, segments], dim=1), mask.sum(1)

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
        name: as `transformers.AutoTokenizer.from_pretrained` takes it, or `package:NAME/FOLDER`.

    Raises:
        ValueError: if there is none.
    """
    from transformers import AutoTokenizer

    try:
        return Tokenizer(AutoTokenizer.from_pretrained(located(name)), name)
    except (OSError, ValueError) as error:
        raise ValueError(f"name={name}: no tokenizer can be loaded ({str(error).splitlines()[0]})") from None
