"""Weights of a TransformerLens bridge as they are stored: each once, under the wrapped model's own names."""

from typing import Any

import torch
from torch import Tensor, nn


def drop_fused(network: nn.Module) -> None:
    """Remove weights that the bridge has split into parts, and let every other weight own its memory.

    The bridge runs split query, key and value (and gate and up) projections, and leaves the fused weight
    that they were cut from where it was: a parameter without gradient, sharing memory with the parts or gone
    stale.

    Args:
        network: the model that the bridge wraps.
    """
    from transformer_lens.model_bridge.generalized_components.joint_gate_up_mlp import JointGateUpMLPBridge
    from transformer_lens.model_bridge.generalized_components.joint_qkv_attention import (
        JointQKVAttentionBridge,
    )

    for module in list(network.modules()):
        fused: Any = None
        if isinstance(module, JointQKVAttentionBridge):
            fused = module.submodules.get("qkv")
        elif isinstance(module, JointGateUpMLPBridge):
            fused = getattr(module.original_component, module.fused_attr, None)
        for owner in fused.modules() if isinstance(fused, nn.Module) else ():
            for name in owner._parameters:
                owner._parameters[name] = None
    for parameter in network.parameters():
        if not parameter.is_contiguous() or parameter.untyped_storage().nbytes() > parameter.nbytes:
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


def stored_names(module: nn.Module) -> dict[str, str]:
    """Every name under which a module has a tensor -> the one it is stored under.

    The bridge's wrappers give a weight several names, and tied weights have more; the first one counts,
    without the wrappers in it.
    """
    first: dict[int, str] = {}
    names = {}
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in tensors:
        names[name] = first.setdefault(id(tensor), name.replace("_original_component.", ""))
    assert len(set(first.values())) == len(first)
    return names


def store_once(module: nn.Module) -> None:
    """Make `state_dict` and `load_state_dict` of a module use the names that it keeps in `stored`."""
    module.register_state_dict_post_hook(_rename)
    module.register_load_state_dict_pre_hook(_spread)


def _rename(module: Any, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    del metadata
    for name, own in module.stored.items():
        if prefix + name in state:
            tensor = state.pop(prefix + name)
            state.setdefault(prefix + own, tensor)


def _spread(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    del rest
    given = {own: state.pop(prefix + own) for own in set(module.stored.values()) if prefix + own in state}
    for name, own in module.stored.items():
        if own in given:
            state[prefix + name] = given[own]
