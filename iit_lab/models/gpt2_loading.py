"""Where a GPT-2 comes from: a folder, the hub, or a random initialisation; and with which head."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from iit_lab.models.gpt2 import GPT2
from iit_lab.randomness import seeding


def classifier(
    input_shape: Sequence[int],
    n_classes: int,
    generator: torch.Generator,
    pretrained: str | None = None,
    config: Mapping[str, Any] | None = None,
    vocabulary: int | None = None,
) -> GPT2:
    """`GPT2ForSequenceClassification`.

    Args:
        input_shape: (positions,) of a prompt.
        n_classes: logits.
        generator: source of the weights that are not loaded.
        pretrained: folder or hub name to load from; a head that it lacks is drawn.
        config: of a network initialised at random: keys of `transformers.GPT2Config`.
        vocabulary: entries of the tokenizer; size of the embedding where `config` names none.

    Raises:
        ValueError: unless exactly one of `pretrained` and `config` is given; if it cannot be loaded, or does
            not fit the prompts or the tokenizer.
    """
    from transformers import GPT2ForSequenceClassification as Kind

    labels = {"num_labels": n_classes}
    return _staged(_made(Kind, pretrained, config, vocabulary, labels, generator), input_shape, pretrained)


def language_model(
    input_shape: Sequence[int],
    n_classes: int,
    generator: torch.Generator,
    pretrained: str | None = None,
    config: Mapping[str, Any] | None = None,
    vocabulary: int | None = None,
    answers: Sequence[int] | None = None,
) -> GPT2:
    """`GPT2LMHeadModel`, whose classes are tokens.

    Args:
        input_shape: as in `classifier`, like all but the last.
        n_classes: logits.
        generator: source of the weights that are not loaded.
        pretrained: folder or hub name.
        config: of a network initialised at random.
        vocabulary: entries of the tokenizer.
        answers: the token of each class; None if every token is one.

    Raises:
        ValueError: as in `classifier`, and if there are not as many answers as classes.
    """
    from transformers import GPT2LMHeadModel as Kind

    hf = _made(Kind, pretrained, config, vocabulary, {}, generator)
    found = hf.config.vocab_size if answers is None else len(answers)
    if found != n_classes:
        raise ValueError(f"answers: {found} tokens for {n_classes} classes")
    chosen = None if answers is None else torch.tensor(list(answers))
    return _staged(hf, input_shape, pretrained, chosen)


def _staged(
    hf: Any, input_shape: Sequence[int], pretrained: str | None, answers: torch.Tensor | None = None
) -> GPT2:
    if len(input_shape) != 1:
        raise ValueError(f"input_shape={list(input_shape)}: a prompt is one row of tokens")
    return GPT2(hf, input_shape[0], pretrained or "gpt2", answers)


def _made(
    kind: Any,
    pretrained: str | None,
    config: Mapping[str, Any] | None,
    vocabulary: int | None,
    labels: Mapping[str, Any],
    generator: torch.Generator,
) -> Any:
    from transformers import GPT2Config

    if (pretrained is None) == (config is None):
        raise ValueError(f"pretrained={pretrained}: give either this, or a config to initialise")
    if pretrained is not None:
        hf = _load(kind, pretrained, labels, generator)
    else:
        size = {} if vocabulary is None else {"vocab_size": vocabulary}
        chosen = {**size, **(config or {})}
        known = GPT2Config().to_dict()
        for key in sorted(set(chosen) - set(known)):
            raise ValueError(f"config.{key}={chosen[key]}: GPT2Config has no such key")
        try:
            settings = GPT2Config(**chosen, **labels)
            with seeding(generator):
                hf = kind(settings)
        except (ArithmeticError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"config={dict(config or {})}: {type(error).__name__} {error}") from error
    if vocabulary is not None and vocabulary > hf.config.vocab_size:
        raise ValueError(f"vocab_size={hf.config.vocab_size}: the tokenizer has {vocabulary} entries")
    return hf


def _load(kind: Any, name: str, labels: Mapping[str, Any], generator: torch.Generator) -> Any:
    from transformers import GPT2Config

    try:
        settings = GPT2Config.from_pretrained(name, **labels)
        if settings.model_type != "gpt2":
            raise ValueError(f"is a {settings.model_type}, not a gpt2; the bridge runs other decoders")
        with seeding(generator), _quiet():
            return kind.from_pretrained(name, config=settings).float()
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"pretrained={name}: {str(error).strip().splitlines()[0]}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Hugging Face's report on weights that a new head does not find in the file."""
    from transformers.utils import logging as reports

    before = reports.get_verbosity()
    reports.set_verbosity_error()
    try:
        yield
    finally:
        reports.set_verbosity(before)
