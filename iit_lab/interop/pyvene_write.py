"""Writing the folders that `pyvene.IntervenableModel.load` reads.

Wu et al. 2024, "pyvene: A Library for Understanding and Improving PyTorch Models via Interventions".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iit_lab.interop.pyvene_read import FIELDS, VANILLA, keys
from iit_lab.interventions.intervention import Intervention, Place
from iit_lab.models.base import StagedModel
from iit_lab.results.files import replacing_folder, write_json
from iit_lab.sites import Site
from iit_lab.subspaces.rotation import LOW_RANK

MODULE = "pyvene.models.interventions"


def export(intervention: Intervention, model: StagedModel, directory: Path) -> None:
    """Write a folder that `pyvene.IntervenableModel.load(directory, model=hf_model)` reads.

    Variables that share a site become linked representations with a partition of the subspace, in the order
    of the alignment. Which positions or heads are meant pyvene does not store: `alignment.json` says it.

    Args:
        intervention: whose subspaces are written.
        model: the network; tells widths.
        directory: must be empty or not exist; made whole or not at all.

    Raises:
        ValueError: if it has something else in it, or pyvene has no such kind.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(f"{directory}: is not empty")
    entries = [entry for place in intervention.places for entry in _entries(place, intervention, model)]
    names = keys([entry.fields for entry in entries])
    with replacing_folder(directory) as temporary:
        for name, entry in zip(names, entries, strict=True):
            if entry.state:
                torch.save(entry.state, temporary / f"intkey_{name}.bin")
        write_json(
            temporary / "config.json",
            {
                "mode": "parallel",
                "representations": [list(entry.fields.values()) for entry in entries],
                "intervention_types": [f"<class '{MODULE}.{entry.kind}'>" for entry in entries],
                "intervention_dimensions": [entry.size for entry in entries],
                "intervention_constant_sources": [False] * len(entries),
                "sorted_keys": names,
            },
        )


@dataclass(frozen=True)
class _Entry:
    """One representation: its fields, class, how many dimensions it swaps, and state."""

    fields: dict[str, Any]
    kind: str
    size: int
    state: dict[str, Tensor]


def _entries(place: Place, intervention: Intervention, model: StagedModel) -> list[_Entry]:
    """One for each variable at a place."""
    site, subspace, width = place.site, intervention.subspace(place), model.width(place.site)
    kind, state = subspace.to_pyvene()
    slots = list(subspace.slots.values())
    several, heads = len(slots) > 1, site.heads is not None
    shape = model.shapes(site.layer)[site.component]
    available = shape[-1]
    positions = len(site.positions or range(shape[0])) if len(shape) > 1 else 1
    size = slots[-1].stop
    if kind == VANILLA:
        size = _units(site, size, width, positions, available, several=several)
    elif site.units is not None:
        raise ValueError(f"{site}: pyvene's files are of whole components, not of single units")
    elif positions * len(site.heads or [0]) > 1 and (heads or kind == "SigmoidMaskIntervention"):
        raise ValueError(f"{site}: pyvene's {kind} is of one head or position at a time")
    fields: dict[str, Any] = dict.fromkeys(FIELDS)
    fields |= {
        "layer": site.layer,
        "component": f"head_{site.component}" if heads else site.component,
        "unit": "h.pos" if heads else "pos",
        "max_number_of_units": 1 if heads else positions,
        "low_rank_dimension": slots[-1].stop if kind == LOW_RANK else None,
        "subspace_partition": [[slot.start, slot.stop] for slot in slots] if several else None,
        "intervention_link_key": place.index if several else None,
    }
    sizes = {"embed_dim": torch.tensor(width), "interchange_dim": torch.tensor(size)}
    kept = {key: value.detach().cpu().clone() for key, value in state.items()}
    return [_Entry(fields, kind, size, sizes | kept if kept else {}) for _ in slots]


def _units(site: Site, used: int, width: int, positions: int, available: int, *, several: bool) -> int:
    """How many units a vanilla intervention swaps: the first so many of every position or head."""
    named = site.units or range(available)
    whole = used == width and not several
    if not (whole or (positions == 1 and site.units is None)) or list(named) != list(range(len(named))):
        raise ValueError(
            f"{site}: a vanilla intervention of pyvene's takes the first units of every position"
        )
    if several:
        raise ValueError(f"{site}: pyvene's files cannot say which units of one site are whose")
    return used if not whole else len(named) if site.units is not None else available * positions
