"""Reading pyvene's saved interventions: `config.json` and a state each, as `IntervenableModel.save` writes.

Wu et al. 2024, "pyvene: A Library for Understanding and Improving PyTorch Models via Interventions". Nothing
of pyvene is imported, and its states, which are pickles, are read as tensors and nothing else.
"""

import pkgutil
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor

from iit_lab import subspaces
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel
from iit_lab.results.files import read_json
from iit_lab.results.pickles import read_tensors
from iit_lab.sites import Site
from iit_lab.subspaces.base import Subspace

FIELDS = (
    *("layer", "component", "unit", "max_number_of_units", "low_rank_dimension", "intervention_type"),
    *("intervention", "subspace_partition", "group_key", "intervention_link_key", "moe_key"),
    *("source_representation", "hidden_source_representation", "latent_dim"),
)
"""Of a representation, in the order in which pyvene 0.1.8 writes them."""

VANILLA = "VanillaIntervention"


@dataclass(frozen=True)
class Saved:
    """One place of a folder, with the variables that share it.

    Args:
        layer: 0-based.
        component: our name of it.
        positions: how many tokens; which ones, pyvene is told when it runs.
        heads: whether it is of single heads.
        kind: pyvene's class.
        rank: dimensions per variable; None where the kind has none.
        variables: how many live here: the parts of the subspace.
        state: of the intervention; empty for one that has none.
    """

    layer: int
    component: str
    positions: int
    heads: bool
    kind: str
    rank: int | None
    variables: int
    state: Mapping[str, Tensor]


def kinds() -> dict[str, tuple[type[Subspace], Mapping[str, Any]]]:
    """Classes of pyvene -> our subspace and the arguments that make it the same; every subspace is asked."""
    found = {}
    for module in pkgutil.iter_modules(subspaces.__path__, f"{subspaces.__name__}."):
        for own in vars(import_module(module.name)).values():
            if isinstance(own, type) and issubclass(own, Subspace):
                found |= {
                    name: (own, arguments) for name, arguments in vars(own).get("pyvene_kinds", {}).items()
                }
    return found


def read(directory: Path) -> list[Saved]:
    """What a folder holds, place by place.

    Raises:
        ValueError: if it is no folder of pyvene's, is cut short, or holds a kind that we do not have.
    """
    if not (directory / "config.json").is_file():
        raise ValueError("has no config.json, so it is no folder of pyvene's")
    config = read_json(directory / "config.json")
    try:
        types = [re.sub(r"^<class '.*\.(\w+)'>$", r"\1", text) for text in config["intervention_types"]]
        fields = [dict(zip(FIELDS, each, strict=False)) for each in config["representations"]]
        several = list(zip(keys(fields), types, fields, config["intervention_dimensions"], strict=True))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"its config.json is not what pyvene writes ({error!r})") from None
    known = kinds()
    unknown = sorted({kind for kind in types if kind not in known})
    if unknown or not several:
        raise ValueError(
            f"{unknown[0] if unknown else 'nothing'} has no counterpart here; {sorted(known)} have"
        )
    places: dict[Any, Saved] = {}
    for i, (key, kind, field, size) in enumerate(several):
        link = field.get("intervention_link_key")
        place = i if link is None else (field["layer"], field["component"], link)
        if place not in places:  # what is linked has the same state
            places[place] = _saved(directory / f"intkey_{key}.bin", kind, field, size)
    return list(places.values())


def keys(fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of representations as pyvene makes them: in names of files and in `sorted_keys`."""
    counts: Counter[str] = Counter()
    names = []
    for field in fields:
        unit, units = field["unit"].replace(".", "_"), field["max_number_of_units"]
        name = f"layer_{field['layer']}_comp_{field['component']}_unit_{unit}_nunit_{units}"
        names.append(f"{name}#{counts[name]}")
        counts[name] += 1
    return names


def _saved(path: Path, kind: str, field: Mapping[str, Any], size: Any) -> Saved:
    state = _state(path) if kind != VANILLA else {}
    component, partition = str(field["component"]), field.get("subspace_partition")
    parts = [[0, 0], *(partition or [])]
    sizes = {stop - start for start, stop in parts[1:]}
    if len(sizes) > 1 or any(one[1] != other[0] for one, other in pairwise(parts)):
        raise ValueError(f"subspace_partition={partition}: must be parts of one size, one after another")
    heads = component.startswith("head_")
    if kind in (VANILLA, "RotatedSpaceIntervention"):
        size = state.get("interchange_dim", size)
        rank = None if size is None or (heads and not state) else int(size)
    else:
        rank = field.get("low_rank_dimension")
    return Saved(
        layer=int(field["layer"]),
        component=component.removeprefix("head_"),
        positions=int(field["max_number_of_units"]),
        heads=heads,
        kind=kind,
        rank=sizes.pop() if sizes else rank,
        variables=len(parts) - 1 or 1,
        state=state,
    )


def _state(path: Path) -> dict[str, Tensor]:
    try:
        state = read_tensors(path)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{path.parent}/")) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path.name} holds something else than tensors")
    return state


def nodes(saved: Sequence[Saved], variables: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config of an alignment and of an intervention that a folder describes.

    Args:
        saved: what `read` found.
        variables: the task's, in the order of the folder's.

    Raises:
        ValueError: if there are not as many, or the places are of several kinds.
    """
    first = saved[0]
    if len({(each.kind, each.rank, each.variables) for each in saved}) > 1:
        raise ValueError("its places are of different kinds or ranks; one alignment has one")
    if first.variables != len(variables):
        raise ValueError(f"is of {first.variables} variables, {list(variables)} were named")
    own, arguments = kinds()[first.kind]
    places = [{"layer": each.layer, "component": each.component} for each in saved]
    alignment = {
        "_target_": "iit_lab.alignment.alignment.place",
        "_partial_": True,
        **places[0],
        "position": None,
        "heads": None,
        "units": None,
        "per_position": False,
        "variables": list(variables) if len(places) == 1 else dict.fromkeys(variables, places),
        "trainable": True,
    }
    subspace = {"_target_": f"{own.__module__}.{own.__qualname__}", "_partial_": True, **arguments}
    write = {"_target_": "iit_lab.interventions.interchange.Interchange"}
    target = f"{Intervention.__module__}.{Intervention.__qualname__}"
    rank = first.rank if first.kind != VANILLA else None
    intervention = {"_target_": target, "_partial_": True, "rank": rank}
    return alignment, intervention | {"write": write, "subspace": subspace}


def load(saved: Sequence[Saved], intervention: Intervention, model: StagedModel) -> None:
    """Give an intervention built from `nodes` the folder's states.

    Raises:
        ValueError: if the folder is of another network, or of other positions.
    """
    if len(saved) != len(intervention.places):
        raise ValueError(
            f"has {len(saved)} places, the alignment {len(intervention.places)}: places of one component "
            "need positions of their own, as in alignment.variables={P: [{position: 1}, {position: 4}]}"
        )
    for each, place in zip(saved, intervention.places, strict=True):
        _check(each, place.site, model)
        if not each.state:
            continue
        try:
            intervention.subspace(place).from_pyvene(each.state)
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"its state does not fit {place.site} ({str(error).splitlines()[0]})") from None


def _check(saved: Saved, site: Site, model: StagedModel) -> None:
    shape = model.shapes(site.layer)[site.component]
    available = shape[-1]
    positions = len(site.positions) if site.positions is not None else shape[0] if len(shape) > 1 else 1
    if saved.heads and site.heads is None:
        raise ValueError("is of single heads; name them in alignment.heads")
    if not saved.heads and positions != saved.positions:
        raise ValueError(f"is of {saved.positions} positions; name them in alignment.position")
    if saved.kind == VANILLA and saved.rank is not None:
        _check_units(saved.rank, positions, site, available)
    width = saved.state.get("embed_dim")
    if width is not None and int(width) != model.width(site):
        raise ValueError(f"is of {int(width)} units, {site} of {model.describe()} has {model.width(site)}")


def _check_units(swapped: int, positions: int, site: Site, width: int) -> None:
    """Which units a vanilla intervention takes: the first of every position."""
    if swapped > width * positions:
        raise ValueError(f"is of {swapped // positions} units, {site} has {width}")
    first = tuple(range(min(swapped, width)))
    if (site.units or tuple(range(width))) != first:
        raise ValueError(f"swaps the first {len(first)} units; name them: alignment.units=0:{len(first)}")
