"""How much memory a stacked pass takes, measured on a small one."""

from collections.abc import Sequence

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
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def bytes_of_cell(
    model: StagedModel, intervention: Intervention, batch: InterchangeBatch, before: Prefix, rows: int
) -> int:
    """What training one alignment takes: its parameters, and what a batch keeps for the backward pass.

    Args:
        model: frozen.
        intervention: of the cell.
        batch: a few rows.
        before: their prefix.
        rows: of a real batch.
    """
    parameters = {id(p): p.numel() * p.element_size() for p in intervention.parameters()}
    fixed = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *intervention.parameters())}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in fixed:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    held: list[Sequence[Tensor]] = []
    with torch.enable_grad(), saved_tensors_hooks(note, lambda tensor: tensor):
        held.append(finish_stacked(model, [intervention], batch, before))  # alive, or storages are used again
    return COPIES * sum(parameters.values()) + sum(kept.values()) * rows // len(batch)
