"""Any decoder that TransformerLens knows, as a staged model."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from iit_lab.models.base import Activation, Point, StagedModel, Tap, pass_on
from iit_lab.models.bridge_blocks import run_block
from iit_lab.models.bridge_loading import initialise, load
from iit_lab.models.bridge_probe import probe
from iit_lab.models.bridge_state import drop_fused, store_once, stored_names

DTYPES = ("float32", "float64", "float16", "bfloat16")


class Bridge(StagedModel):
    """A `TransformerBridge`: a decoder of Hugging Face, or TransformerLens's own; read at the last position.

    Stage 0 embeds the tokens, stage `l + 1` is block `l`, the last one the final norm and the unembedding.
    Weights are neither folded nor centred: logits are Hugging Face's. Components have pyvene's names, and a
    layer has those that the bridge can show; `mlp_activation` is what enters the MLP's last projection, of a
    gated MLP the product.

    Args:
        input_shape: (positions,) of a prompt.
        n_classes: logits.
        generator: source of random weights.
        pretrained: folder or hub name to load from.
        config: of a network initialised at random: keys of `TransformerBridgeConfig`. What it does not name
            comes from the prompts (`n_ctx`) and the tokenizer (`d_vocab`); where it names no vocabulary and
            there are no answers, there is one logit per class (`d_vocab_out`).
        answers: the token of each class; None if every logit is one.
        vocabulary: entries of the tokenizer.
        dtype: of the weights.

    Raises:
        ValueError: unless exactly one of `pretrained` and `config` is given; if it cannot be loaded or built,
            cannot be run block by block, or does not fit the prompts, the tokenizer or the classes.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        generator: torch.Generator,
        pretrained: str | None = None,
        config: Mapping[str, Any] | None = None,
        answers: Sequence[int] | None = None,
        vocabulary: int | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        if (pretrained is None) == (config is None):
            raise ValueError(f"pretrained={pretrained}: give either this, or a config to initialise")
        if len(input_shape) != 1:
            raise ValueError(f"input_shape={list(input_shape)}: a prompt is one row of tokens")
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype}: one of {', '.join(DTYPES)}")
        self.positions, self.name = input_shape[0], pretrained or "bridge"
        if pretrained is not None:
            bridge = load(pretrained, getattr(torch, dtype), generator)
        else:
            sizes = {"n_ctx": self.positions, "d_vocab": vocabulary or n_classes}
            if answers is None and not {"d_vocab", "d_vocab_out"} & set(config or {}):
                sizes["d_vocab_out"] = n_classes
            bridge = initialise({**sizes, **(config or {})}, getattr(torch, dtype), generator)
        _check_fit(bridge.cfg, self.positions, vocabulary)
        drop_fused(bridge.original_model)
        self.network = bridge.original_model  # the bridge itself would give every weight a second name
        self.eval()
        self._layout = probe(bridge, self.positions)
        self.register_buffer(
            "answers", _tokens(answers, n_classes, self._layout.vocabulary), persistent=False
        )
        self.stored = stored_names(self)
        store_once(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Bridge":
        """A network of its own."""
        for block in self.bridge.blocks:
            block._teardown_capture_hooks()  # wired anew in a run; a copy's wires would lead to the original
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(deepcopy(vars(self), memo))
        return twin

    @property
    def bridge(self) -> Any:
        """The `TransformerBridge`, for what it can do besides."""
        return self._layout.shell.bridge

    @property
    def n_stages(self) -> int:
        """The embedding, the blocks, and the head."""
        return self.n_layers + 2

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return len(self._layout.points)

    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """The residual stream before and after a block, and what its attention and MLP compute."""
        return self._layout.shapes[layer]

    def point(self, layer: int, component: str) -> Point:
        """The residual stream is a stage's input, the rest lies within the block's stage."""
        if component == "block_input":
            return Point(layer + 1)
        return Point(layer + 2) if component == "block_output" else Point(layer + 1, component)

    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Activation:
        """The embedding, a block, or the head."""
        shell = self._layout.shell
        if stage == 0:
            if value.is_floating_point():  # the bridge would take them for embeddings
                raise ValueError(f"inputs: {self.describe()} reads tokens, not {value.dtype}")
            return shell.embed(value)
        if stage == self.n_stages - 1:
            return self._head(value)
        layer = stage - 1
        # Hooks cost a tenth of a tiny network's time, and a run without edits needs none.
        points = {} if tap is pass_on else self._layout.points[layer]
        return run_block(shell.bridge.blocks[layer], value, shell.arguments(value)[layer], points, tap)

    def _head(self, value: Float[Tensor, "batch positions width"]) -> Float[Tensor, "batch classes"]:
        logits = self._layout.shell.logits(value)
        answers = self.get_buffer("answers")
        return logits if answers is None else logits[:, answers]

    def describe(self) -> str:
        """Such as `gpt2, 12 layers x 768`."""
        return f"{self.name}, {self.n_layers} layers x {self.bridge.cfg.d_model}"


def _check_fit(settings: Any, positions: int, vocabulary: int | None) -> None:
    if positions > settings.n_ctx:
        raise ValueError(f"n_ctx={settings.n_ctx}: the prompts have {positions} tokens")
    if vocabulary is not None and vocabulary > settings.d_vocab:
        raise ValueError(f"d_vocab={settings.d_vocab}: the tokenizer has {vocabulary} entries")


def _tokens(answers: Sequence[int] | None, n_classes: int, logits: int) -> Int[Tensor, " classes"] | None:
    """The logits that are wanted; None for all."""
    if answers is None:
        if logits != n_classes:
            raise ValueError(f"answers=None: {logits} logits for {n_classes} classes; give tokens of classes")
        return None
    if len(answers) != n_classes:
        raise ValueError(f"answers: {len(answers)} tokens for {n_classes} classes")
    if unknown := [token for token in answers if not 0 <= token < logits]:
        raise ValueError(f"answers={unknown}: the network has tokens 0..{logits - 1}")
    return torch.tensor(list(answers))
