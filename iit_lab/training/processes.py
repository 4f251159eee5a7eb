"""Several processes that do one run together: which one this is, and how they share what they found."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor


def world() -> int:
    """How many processes do this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; 0 alone writes and logs."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def share(rows: Shaped[Tensor, " batch"]) -> Shaped[Tensor, " part"]:
    """Every process's own rows of a batch, no row twice."""
    return rows[rank() :: world()]


def gather(value: Any) -> list[Any]:
    """Everybody's value, by rank."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world()
    dist.all_gather_object(values, value)
    return values


def mean(value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The mean of everybody's value."""
    if world() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / world()


def generator_states(device: torch.device) -> list[dict[str, Tensor]]:
    """Everybody's states of torch's generators."""
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return gather(own)


def set_generator_states(states: list[dict[str, Tensor]], device: torch.device) -> None:
    """Go on from `generator_states`; with another number of processes than then, from a seed of its own."""
    if len(states) != world():
        torch.manual_seed(torch.initial_seed() + rank())
        return
    own = states[rank()]
    torch.set_rng_state(own["cpu"])
    if device.type == "cuda" and "cuda" in own:
        torch.cuda.set_rng_state(own["cuda"], device)
