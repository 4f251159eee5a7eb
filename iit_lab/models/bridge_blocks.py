"""Running the parts of a TransformerLens bridge one by one: what lies around its blocks, and one block."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from iit_lab.models.base import Activation, Tap

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

Residual = Float[Tensor, "batch positions width"]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a block is called with besides the residual stream."""
KEPT = 16
"""How many batch shapes' arguments are kept."""
_ACTIVE: ContextVar[Tap | None] = ContextVar("active tap", default=None)


class Shell:
    """The wrapped model without its blocks: the model's own forward pass runs, blocks are stood in for.

    So whatever an architecture does before, between and after its blocks (positions, masks, scaling, soft
    caps) is done by its own code, and nothing is known here of any of them.

    Args:
        bridge: a `TransformerBridge`.
        tuples: whether its blocks return the residual stream in a tuple.
    """

    def __init__(self, bridge: Any, tuples: bool) -> None:
        self.bridge, self.tuples = bridge, tuples
        self._arguments: dict[tuple[Any, ...], list[Arguments]] = {}

    def embed(self, tokens: Int[Tensor, "batch positions"]) -> Residual:
        """The first block's input."""
        return self._until(0, tokens, [])

    def logits(self, value: Residual) -> Float[Tensor, "batch vocabulary"]:
        """Logits at the last position, from the last block's output.

        Norm and unembedding see each position by itself, so they are given the last one only.
        """
        last = value[:, -1:]
        token = torch.zeros(len(value), 1, dtype=torch.int64, device=value.device)
        with _standing_in(self.bridge.blocks, lambda layer, *args, **kwargs: self._returned(last)):
            return self.bridge(token, use_cache=False)[:, -1]

    def arguments(self, like: Residual) -> list[Arguments]:
        """What the blocks are called with, besides the residual stream, for a batch of this shape.

        Rotary embeddings and masks depend on the shape alone: they are recorded once and replayed.
        """
        key = (*like.shape, like.device, like.dtype)
        if key not in self._arguments:
            if len(self._arguments) >= KEPT:
                del self._arguments[next(iter(self._arguments))]
            self._arguments[key] = self._record(like)
        return self._arguments[key]

    def _record(self, like: Residual) -> list[Arguments]:
        called: list[Arguments] = []
        with torch.inference_mode(False), torch.enable_grad():  # what is kept must do for training too
            tokens = torch.zeros(like.shape[:2], dtype=torch.int64, device=like.device)
            self._until(len(self.bridge.blocks) - 1, tokens, called)
        return called

    def _until(self, last: int, tokens: Int[Tensor, "batch positions"], called: list[Arguments]) -> Residual:
        """The input of block `last`, with no block run; `called` is told what they were called with."""
        try:
            with _standing_in(self.bridge.blocks, partial(self._stand_in, last, called)):
                self.bridge(tokens, use_cache=False)
        except _Reached as reached:
            return reached.value
        raise RuntimeError(f"block {last} was not called")

    def _stand_in(
        self,
        last: int,
        called: list[Arguments],
        layer: int,
        hidden_states: Residual,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        called.append((args, kwargs))
        if layer == last:
            raise _Reached(hidden_states)
        return self._returned(hidden_states)

    def _returned(self, value: Residual) -> Any:
        return (value,) if self.tuples else value


def run_block(
    block: Any, value: Residual, arguments: Arguments, points: Mapping[str, "HookPoint"], tap: Tap
) -> Residual:
    """Run one block, passing what its hook points see through `tap`.

    Args:
        block: of the bridge.
        value: its input.
        arguments: what else it is called with.
        points: hook points, by component.
        tap: as in `StagedModel.run_stage`.
    """
    args, kwargs = arguments
    before = _ACTIVE.set(tap)  # an edit may itself run the network, past hooks that are not its own
    try:
        with ExitStack() as hooks:
            for component, point in points.items():
                handle = point.add_hook(partial(_through, tap, component))
                hooks.callback(_remove, point, handle)
            output = block(value, *args, **kwargs)
    finally:
        _ACTIVE.reset(before)
        # Else the bridge keeps the last attention pattern, and with it the graph that made it.
        getattr(block, "attn", block).__dict__.pop("_pattern", None)
    return output[0] if isinstance(output, tuple) else output


def _through(tap: Tap, component: str, tensor: Activation, *, hook: Any) -> Activation | None:
    del hook
    if _ACTIVE.get() is not tap:
        return None
    edited = tap(component, tensor)
    return None if edited is tensor else edited


def _remove(point: "HookPoint", handle: Any) -> None:
    handle.hook.remove()
    point.fwd_hooks.remove(handle)


@contextmanager
def _standing_in(blocks: Iterable[Any], stand_in: Callable[..., Any]) -> Iterator[None]:
    """Within it, `stand_in(layer, *args, **kwargs)` is called instead of each block."""
    for layer, block in enumerate(blocks):
        block.__dict__["forward"] = partial(stand_in, layer)  # the bridge hands a plain setattr to the model
    try:
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


class _Reached(Exception):
    """Ends a forward pass, with what was wanted of it."""

    def __init__(self, value: Residual) -> None:
        super().__init__()
        self.value = value
