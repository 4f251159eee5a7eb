"""Where a GPT-2 comes from: a folder, the hub, or a random initialisation; and with which head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from iit_lab.models.gpt2 import GPT2
from iit_lab.models.hugging_face import made


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
        pretrained: folder, `package:NAME/FOLDER` or hub name to load from; a head that it lacks is drawn.
        config: of a network initialised at random: keys of `transformers.GPT2Config`.
        vocabulary: entries of the tokenizer; size of the embedding where `config` names none.

    Raises:
        ValueError: unless exactly one of `pretrained` and `config` is given; if it cannot be loaded, or does
            not fit the prompts or the tokenizer.
    """
    from transformers import GPT2Config
    from transformers import GPT2ForSequenceClassification as Kind

    labels = {"num_labels": n_classes}
    hf = made(Kind, GPT2Config, pretrained, config, vocabulary, labels, generator)
    return _staged(hf, input_shape, pretrained)


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
    from transformers import GPT2Config
    from transformers import GPT2LMHeadModel as Kind

    hf = made(Kind, GPT2Config, pretrained, config, vocabulary, {}, generator)
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
