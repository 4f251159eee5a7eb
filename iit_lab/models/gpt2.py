"""GPT-2 of Hugging Face as a staged model: classification or language-model head."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import gelu, scaled_dot_product_attention

from iit_lab.models.base import Activation, Point, StagedModel, Tap

Residual = Float[Tensor, "batch positions width"]
FAST_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
"""Names under which Hugging Face has the tanh approximation, which torch has as one operation."""


class GPT2(StagedModel):
    """`GPT2ForSequenceClassification` or `GPT2LMHeadModel`, read at the last position.

    Stage 0 embeds the tokens, stage `l + 1` is block `l`, the last one the final norm and the head.
    Components have pyvene's names. Weights live in the Hugging Face model, `hf`; the blocks' forward pass is
    ours, so that a stage runs alone and every component can be read and written.

    Args:
        hf: the Hugging Face model.
        positions: tokens of a prompt.
        name: for messages.
        answers: of a language model, the tokens whose logits are wanted; None for all.

    Raises:
        ValueError: for an architecture with cross attention or upcast attention, or for prompts too long.
    """

    def __init__(self, hf: Any, positions: int, name: str, answers: Tensor | None = None) -> None:
        super().__init__()
        settings = hf.config
        for key in ("add_cross_attention", "reorder_and_upcast_attn"):
            if getattr(settings, key):
                raise ValueError(f"config.{key}=True: this backend has no such attention")
        if positions > settings.n_positions:
            raise ValueError(f"n_positions={settings.n_positions}: the prompts have {positions} tokens")
        self.hf, self.positions, self.name = hf, positions, name
        self._fast_gelu = settings.activation_function in FAST_GELU
        self.register_buffer("answers", answers, persistent=False)

    @property
    def n_stages(self) -> int:
        """The embedding, the blocks, and the head."""
        return self.n_layers + 2

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return int(self.hf.config.n_layer)

    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """The residual stream before and after a block, and what its attention and MLP compute."""
        settings = self.hf.config
        residual = (self.positions, settings.n_embd)
        heads = (self.positions, settings.n_head, settings.n_embd // settings.n_head)
        return {
            "block_input": residual,
            "query_output": heads,
            "key_output": heads,
            "value_output": heads,
            "attention_value_output": heads,
            "attention_output": residual,
            "mlp_activation": (self.positions, settings.n_inner or 4 * settings.n_embd),
            "mlp_output": residual,
            "block_output": residual,
        }

    def point(self, layer: int, component: str) -> Point:
        """The residual stream is a stage's input, the rest lies within the block's stage."""
        if component == "block_input":
            return Point(layer + 1)
        return Point(layer + 2) if component == "block_output" else Point(layer + 1, component)

    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Activation:
        """The embedding, a block, or the head."""
        if stage == 0:
            return self._embed(value)
        if stage == self.n_stages - 1:
            return self._head(value)
        return self._block(stage - 1, value, tap)

    def _embed(self, tokens: Int[Tensor, "batch positions"]) -> Residual:
        if tokens.is_floating_point():
            raise ValueError(f"inputs: {self.describe()} reads tokens, not {tokens.dtype}")
        body = self.hf.transformer
        positions = body.wpe.weight[: tokens.shape[1]]
        return body.drop(body.wte(tokens) + positions)

    def _block(self, layer: int, value: Residual, tap: Tap) -> Residual:
        block = self.hf.transformer.h[layer]
        attended = tap("attention_output", self._attention(block.attn, block.ln_1(value), tap))
        value = value + attended
        hidden = _linear(block.mlp.c_fc, block.ln_2(value))
        hidden = gelu(hidden, approximate="tanh") if self._fast_gelu else block.mlp.act(hidden)
        hidden = block.mlp.dropout(_linear(block.mlp.c_proj, tap("mlp_activation", hidden)))
        return value + tap("mlp_output", hidden)

    def _attention(self, attention: Any, value: Residual, tap: Tap) -> Residual:
        by_head = (*value.shape[:2], attention.num_heads, attention.head_dim)
        parts = _linear(attention.c_attn, value).split(attention.split_size, dim=2)
        names = ("query_output", "key_output", "value_output")
        heads = [tap(name, part.view(by_head)) for name, part in zip(names, parts, strict=True)]
        mixed = scaled_dot_product_attention(
            *(part.transpose(1, 2) for part in heads),
            dropout_p=attention.attn_dropout.p if attention.training else 0.0,
            is_causal=True,
            scale=attention.scaling,
        )
        mixed = tap("attention_value_output", mixed.transpose(1, 2))
        return attention.resid_dropout(_linear(attention.c_proj, mixed.flatten(2)))

    def _head(self, value: Residual) -> Float[Tensor, "batch classes"]:
        last = self.hf.transformer.ln_f(value[:, -1])
        answers = self.get_buffer("answers")
        if hasattr(self.hf, "score"):
            return self.hf.score(last)
        weight = self.hf.lm_head.weight
        return last @ (weight if answers is None else weight[answers]).mT

    def describe(self) -> str:
        """Such as `gpt2, 12 layers x 64`."""
        return f"{self.name}, {self.n_layers} layers x {self.hf.config.n_embd}"


def _linear(
    layer: Any, value: Float[Tensor, "batch positions inputs"]
) -> Float[Tensor, "batch positions outputs"]:
    """Hugging Face's Conv1D keeps its weight transposed."""
    flat = torch.addmm(layer.bias, value.reshape(-1, value.shape[-1]), layer.weight)
    return flat.view(*value.shape[:-1], flat.shape[-1])
