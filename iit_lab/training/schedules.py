"""Learning-rate schedules that know how many optimiser steps there will be."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear(optimizer: Optimizer, total_steps: int, warmup: float = 0.0) -> LambdaLR:
    """Linear warm-up over a share of the steps, then linear decay to zero.

    Args:
        optimizer: whose rate is scheduled.
        total_steps: optimiser steps in all.
        warmup: share of the steps, from 0 to 1.
    """
    return LambdaLR(
        optimizer, lambda step: _warm(step, total_steps, warmup) or _left(step, total_steps, warmup)
    )


def cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.0) -> LambdaLR:
    """Linear warm-up over a share of the steps, then half a cosine to zero; arguments as in `linear`."""
    return LambdaLR(
        optimizer,
        lambda step: (
            _warm(step, total_steps, warmup)
            or 0.5 * (1 - math.cos(math.pi * _left(step, total_steps, warmup)))
        ),
    )


def _warm(step: int, total: int, warmup: float) -> float | None:
    steps = round(total * warmup)
    return (step + 1) / steps if step < steps else None


def _left(step: int, total: int, warmup: float) -> float:
    start = round(total * warmup)
    return max(0.0, (total - step) / max(1, total - start))
