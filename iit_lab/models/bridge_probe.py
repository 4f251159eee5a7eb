"""What a bridge's blocks compute, learned by running it once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from iit_lab.models.base import Activation
from iit_lab.models.bridge_blocks import Arguments, Shell, run_block

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

COMPONENTS = {
    "query_output": "attn.hook_q",
    "key_output": "attn.hook_k",
    "value_output": "attn.hook_v",
    "attention_value_output": "attn.hook_z",
    "attention_output": "hook_attn_out",
    "mlp_output": "hook_mlp_out",
    "mlp_activation": "mlp.hook_post",
}
"""pyvene's name of an activation within a block -> the bridge's hook point."""


@dataclass(frozen=True)
class Layout:
    """How a bridge is run and what it computes.

    Args:
        shell: the model without its blocks.
        points: of each layer, hook points by component.
        shapes: of each layer, shapes by component, without the batch dimension.
        vocabulary: logits.
    """

    shell: Shell
    points: tuple[Mapping[str, "HookPoint"], ...]
    shapes: tuple[Mapping[str, tuple[int, ...]], ...]
    vocabulary: int


@torch.no_grad()
def probe(bridge: Any, positions: int) -> Layout:
    """Run a bridge whole and block by block.

    Args:
        bridge: a `TransformerBridge`, in eval mode.
        positions: tokens of a prompt.

    Raises:
        ValueError: if block by block gives other logits: its blocks are no chain.
    """
    if not hasattr(bridge, "blocks"):
        raise ValueError(f"{_name(bridge)} is no decoder: it has no one stack of blocks")
    tokens = torch.arange(2 * positions).view(2, -1) % bridge.cfg.d_vocab
    expected, tuples = _whole(bridge, tokens)
    shell = Shell(bridge, tuples)
    value = shell.embed(tokens)
    residual = tuple(value.shape[1:])
    points, shapes = [], []
    for block, arguments in zip(bridge.blocks, shell.arguments(value), strict=True):
        if any(tensor.requires_grad for tensor in _tensors(arguments)):
            raise ValueError(f"{_name(bridge)}: its blocks share weights through what they are called with")
        value, found = _observed(block, value, arguments, tokens.shape)
        here = hook_points(block)
        points.append({name: here[name] for name in found})
        shapes.append({"block_input": residual, **found, "block_output": residual})
    logits = shell.logits(value)
    close = torch.finfo(logits.dtype).eps ** 0.5 * max(1.0, expected.abs().max().item())
    if logits.shape != expected.shape or not (logits - expected).abs().max().item() <= close:
        raise ValueError(f"{_name(bridge)} cannot be run block by block: its blocks are no chain")
    return Layout(shell, tuple(points), tuple(shapes), logits.shape[1])


def hook_points(block: Any) -> dict[str, "HookPoint"]:
    """A block's hook points, by component; one that two components share is the first one's."""
    from transformer_lens.hook_points import HookPoint

    found: dict[str, HookPoint] = {}
    for component, path in COMPONENTS.items():
        point = block
        for part in path.split("."):
            point = getattr(point, part, None)
        if isinstance(point, HookPoint) and not any(point is other for other in found.values()):
            found[component] = point
    return found


def _whole(bridge: Any, tokens: Tensor) -> tuple[Tensor, bool]:
    """Logits at the last position, and whether blocks return tuples."""
    returned = []
    handle = bridge.blocks[0].register_forward_hook(lambda block, args, output: returned.append(type(output)))
    try:
        logits = bridge(tokens, use_cache=False)[:, -1]
    finally:
        handle.remove()
    return logits, issubclass(returned[0], tuple)


def _observed(
    block: Any, value: Activation, arguments: Arguments, batch: Sequence[int]
) -> tuple[Activation, dict[str, tuple[int, ...]]]:
    """A block's output, and shapes of the components that hold an activation per position."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(component: str, activation: Activation) -> Activation:
        if tuple(activation.shape[:2]) == tuple(batch) and activation.is_floating_point():
            shapes[component] = tuple(activation.shape[1:])
        return activation

    return run_block(block, value, arguments, hook_points(block), note), shapes


def _tensors(arguments: Arguments) -> Iterator[Tensor]:
    args, kwargs = arguments
    for argument in (*args, *kwargs.values()):
        for part in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(part, Tensor):
                yield part


def _name(bridge: Any) -> str:
    return str(bridge.cfg.architecture)
