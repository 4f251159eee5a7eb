"""Where a BERT comes from: a folder, a package, the hub, or a random initialisation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from iit_lab.models.bert import BERT
from iit_lab.models.hugging_face import made


def classifier(
    input_shape: Sequence[int],
    n_classes: int,
    generator: torch.Generator,
    pretrained: str | None = None,
    config: Mapping[str, Any] | None = None,
    vocabulary: int | None = None,
) -> BERT:
    """`BertForSequenceClassification`.

    Args:
        input_shape: (2, positions) of a pair of sentences.
        n_classes: logits.
        generator: source of the weights that are not loaded.
        pretrained: folder, `package:NAME/FOLDER` or hub name to load from; a head that it lacks is drawn.
        config: of a network initialised at random: keys of `transformers.BertConfig`.
        vocabulary: entries of the tokenizer; size of the embedding where `config` names none.

    Raises:
        ValueError: as `hugging_face.made`, and for inputs that are no pairs of sentences or too long.
    """
    from transformers import BertConfig
    from transformers import BertForSequenceClassification as Kind

    if len(input_shape) != 2 or input_shape[0] != 2:
        raise ValueError(
            f"input_shape={list(input_shape)}: a pair of sentences is two rows, tokens and segments"
        )
    labels = {"num_labels": n_classes}
    hf = made(Kind, BertConfig, pretrained, config, vocabulary, labels, generator)
    return BERT(hf, input_shape[1], pretrained or "bert")
