"""How much memory a stacked pass takes, measured on a small one."""

from collections.abc import Sequence
from dataclasses import replace

import psutil
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from iit_lab.causal.batch import InterchangeBatch
from iit_lab.interventions.engine import Prefix
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.stack import finish_stacked
from iit_lab.models.base import StagedModel

COPIES = 8
"""Of a subspace's parameters: itself, its gradient, two moments, and what a thin QR and its gradient hold."""


def available(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + idle
    return psutil.virtual_memory().available


def bytes_of_cell(
    model: StagedModel, intervention: Intervention, batch: InterchangeBatch, before: Prefix, rows: int
) -> int:
    """What training one alignment takes: its parameters, and what a batch keeps for the backward pass.

    Args:
        model: frozen.
        intervention: of the cell.
        batch: a few rows, two or more.
        before: their prefix.
        rows: of a real batch. What a basis keeps is the same for any number; the rest grows with it.
    """
    parameters = {id(p): p.numel() * p.element_size() for p in intervention.parameters()}
    fixed = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *intervention.parameters())}

    def kept(n: int) -> int:
        """For the first n rows."""
        found: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in fixed:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        first = replace(
            before,
            base=before.base[:n].clone(),
            sources={k: v[:n].clone() for k, v in before.sources.items()},
        )
        held: list[Sequence[Tensor]] = []
        with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
            held.append(finish_stacked(model, [intervention], batch.rows(slice(0, n)), first))
        return sum(found.values())  # while `held` is alive, or storages would be used again

    half, whole = len(batch) // 2, len(batch)
    few, several = kept(half), kept(whole)
    growth = max(0, several - few) * (rows - whole) // (whole - half)
    return COPIES * sum(parameters.values()) + several + growth
