"""Where a TransformerLens bridge comes from: a folder, the hub, or a random initialisation."""

from collections.abc import Mapping
from typing import Any

import torch

from iit_lab.models.hugging_face import quiet
from iit_lab.randomness import seeding


def load(name: str, dtype: torch.dtype, generator: torch.Generator) -> Any:
    """A bridge to a decoder of Hugging Face, its weights as they are.

    Args:
        name: folder or hub name.
        dtype: of the weights.
        generator: source of weights that the file lacks.

    Raises:
        ValueError: if it cannot be loaded, or TransformerLens has no bridge to its architecture.
    """
    from transformer_lens.model_bridge import TransformerBridge

    try:
        with seeding(generator), quiet():
            bridge = TransformerBridge.boot_transformers(
                name, device="cpu", dtype=dtype, tokenizer=_no_tokenizer()
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"pretrained={name}: {str(error).strip().splitlines()[0]}") from None
    model: Any = bridge.original_model
    for kind in model.config.architectures or ():
        if kind.endswith("Classification") and kind != type(model).__name__:
            here = type(model).__name__
            raise ValueError(f"pretrained={name}: is a {kind}; without its head, as a {here}, it is another")
    model.config.output_attentions = False  # else every pass collects them
    return bridge


def initialise(config: Mapping[str, Any], dtype: torch.dtype, generator: torch.Generator) -> Any:
    """A bridge to TransformerLens's own decoder, with random weights.

    Args:
        config: keys of `TransformerBridgeConfig`.
        dtype: of the weights.
        generator: source of the weights.

    Raises:
        ValueError: for a key that it does not have, or a value that does not fit.
    """
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    for key in ("seed", "dtype"):
        if key in config:
            raise ValueError(f"config.{key}={config[key]}: model.seed and the network's dtype say this")
    try:
        settings = TransformerBridgeConfig(**config, dtype=dtype)
        with seeding(generator):
            bridge: Any = TransformerBridge  # its loaders are attached to it at run time
            return bridge.boot_native(settings, device="cpu", dtype=dtype)
    except (TypeError, ValueError, NotImplementedError, AssertionError) as error:
        raise ValueError(f"config={dict(config)}: {str(error).split('__init__() ')[-1]}") from None


def _no_tokenizer() -> Any:
    """An empty one, which the loader insists on; prompts are encoded by `model.tokenizer`."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
