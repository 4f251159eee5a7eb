"""BERT of Hugging Face as a staged model, with a classification head over the first token."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from iit_lab.models.base import Activation, Point, StagedModel, Tap

State = Float[Tensor, "batch positions width_and_mask"]
Residual = Float[Tensor, "batch positions width"]


class BERT(StagedModel):
    """`BertForSequenceClassification`.

    Inputs are `[batch, 2, positions]`: token ids, and which of two sentences each belongs to; padding is
    attended to by nobody. What goes from stage to stage has a last column that tells padding from tokens: a
    run that starts in the middle needs it. Sites do not see it, and no intervention changes it.

    Stage 0 embeds; stage `2l + 1` is block `l` and stage `2l + 2` hands its output on, where it can be read
    and written without running the block again; the last one is pooler and classifier. Components have
    pyvene's names. Weights live in the Hugging Face model, `hf`; the forward pass of the blocks is ours.

    Args:
        hf: the Hugging Face model.
        positions: tokens of an input, padding included.
        name: for messages.

    Raises:
        ValueError: for a decoder, or inputs too long.
    """

    def __init__(self, hf: Any, positions: int, name: str) -> None:
        super().__init__()
        settings = hf.config
        if settings.is_decoder or settings.add_cross_attention:
            raise ValueError("config.is_decoder=True: this backend runs encoders")
        if positions > settings.max_position_embeddings:
            most = settings.max_position_embeddings
            raise ValueError(f"max_position_embeddings={most}: the inputs have {positions} tokens")
        self.hf, self.positions, self.name = hf, positions, name

    @property
    def n_stages(self) -> int:
        """The embedding, two for each block, and the head."""
        return 2 * self.n_layers + 2

    @property
    def n_layers(self) -> int:
        """Blocks."""
        return int(self.hf.config.num_hidden_layers)

    def shapes(self, layer: int) -> Mapping[str, tuple[int, ...]]:
        """The residual stream before and after a block, and what its attention and MLP compute."""
        settings = self.hf.config
        width, heads = settings.hidden_size, settings.num_attention_heads
        residual = (self.positions, width)
        by_head = (self.positions, heads, width // heads)
        return {
            "block_input": residual,
            "query_output": by_head,
            "key_output": by_head,
            "value_output": by_head,
            "attention_value_output": by_head,
            "attention_output": residual,
            "mlp_activation": (self.positions, settings.intermediate_size),
            "mlp_output": residual,
            "block_output": residual,
        }

    def point(self, layer: int, component: str) -> Point:
        """A block's output is in a stage of its own, the rest in the block's."""
        return Point(2 * layer + 1 + (component == "block_output"), component)

    def run_stage(self, stage: int, value: Activation, tap: Tap) -> Activation:
        """The embedding, a block, its output, or the head."""
        if stage == 0:
            return self._embed(value)
        hidden, mask = value[..., :-1], value[..., -1:]
        if stage == self.n_stages - 1:
            pooled = self.hf.bert.pooler(hidden)
            return self.hf.classifier(self.hf.dropout(pooled))
        layer, output = divmod(stage - 1, 2)
        hidden = tap("block_output", hidden) if output else self._block(layer, hidden, mask[..., 0] > 0, tap)
        return torch.cat([hidden, mask], dim=-1)

    def _embed(self, inputs: Shaped[Tensor, "batch 2 positions"]) -> State:
        if inputs.is_floating_point():
            raise ValueError(f"inputs: {self.describe()} reads tokens, not {inputs.dtype}")
        tokens, segments = inputs.unbind(1)
        hidden = self.hf.bert.embeddings(input_ids=tokens, token_type_ids=segments)
        mask = (tokens != self.hf.config.pad_token_id).to(hidden.dtype)
        return torch.cat([hidden, mask[..., None]], dim=-1)

    def _block(
        self, layer: int, value: Residual, mask: Bool[Tensor, "batch positions"], tap: Tap
    ) -> Residual:
        block = self.hf.bert.encoder.layer[layer]
        value = tap("block_input", value)
        after = block.attention.output
        mixed = self._attention(block, value, mask, tap)
        attended = tap("attention_output", after.dropout(after.dense(mixed)))
        value = after.LayerNorm(value + attended)
        hidden = tap("mlp_activation", block.intermediate(value))
        computed = tap("mlp_output", block.output.dropout(block.output.dense(hidden)))
        return block.output.LayerNorm(value + computed)

    def _attention(
        self, block: Any, value: Residual, mask: Bool[Tensor, "batch positions"], tap: Tap
    ) -> Residual:
        attention = block.attention.self
        by_head = (*value.shape[:2], attention.num_attention_heads, attention.attention_head_size)
        heads = [
            tap(f"{name}_output", getattr(attention, name)(value).view(by_head)).transpose(1, 2)
            for name in ("query", "key", "value")
        ]
        mixed = scaled_dot_product_attention(
            *heads,
            attn_mask=mask[:, None, None, :],
            dropout_p=attention.dropout.p if attention.training else 0.0,
        )
        return tap("attention_value_output", mixed.transpose(1, 2)).flatten(2)

    def describe(self) -> str:
        """Such as `bert-base-uncased, 12 layers x 768`."""
        return f"{self.name}, {self.n_layers} layers x {self.hf.config.hidden_size}"
