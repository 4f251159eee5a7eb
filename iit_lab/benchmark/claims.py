"""Claims about where variables live in a network: read from plain data, written to it, and tried out."""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from iit_lab.alignment.alignment import Alignment
from iit_lab.alignment.sampling import Home, check_home
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.base import StagedModel
from iit_lab.sites import Site, parse_units
from iit_lab.subspaces.fixed import FixedDirections, orthonormalised, refuse_shared

Claims = Mapping[str, tuple[Home, ...]]
"""Variable -> where it lives."""
KEYS = ("layer", "position", "units", "start", "end", "basis")
FORMS = ("units", "start", "basis")
EXAMPLE = "{layer: 1, units: 0:8}, or with start and end, or a basis"


def to_json(claims: Claims) -> dict[str, list[dict[str, Any]]]:
    """Plain data, in one form only: numbers, units in order."""
    return {name: [_place(home) for home in homes] for name, homes in claims.items()}


def _place(home: Home) -> dict[str, Any]:
    where = {"layer": home.layer} | ({} if home.position is None else {"position": home.position})
    if home.basis is None:
        return {**where, "units": sorted(home.units)}
    return {**where, "basis": home.basis.tolist()}


def read(data: Any, model: StagedModel, name: str = "", folder: Path = Path()) -> Claims:
    """Claims about one network, in the forms that a submission may have.

    Args:
        data: variable -> a site or a list of sites; a site is a layer with units (`[0, 3]` or `0:8`), with
            start and end of a block, with a basis (a row for each unit, or `FILE.safetensors:TENSOR`), or
            alone, which means all its units; and a token's position, where a network has positions.
        model: the network.
        name: what to call the data in an error.
        folder: where its files are.

    Raises:
        ValueError: saying which entry is wrong and what would be valid.
    """
    if not isinstance(data, Mapping) or not data:
        raise ValueError(f"{name or 'claims'}={data}: write variable: sites")
    claims = {}
    for variable, places in data.items():
        own = f"{name}.{variable}" if name else str(variable)
        several = places if isinstance(places, list | tuple) else [places]
        if not several:
            raise ValueError(f"{own}=[]: a variable lives in one site or more, such as {EXAMPLE}")
        claims[str(variable)] = tuple(
            _home(place, model, f"{own}[{i}]", folder) for i, place in enumerate(several)
        )
    try:
        columns_of(claims, model)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from None
    return claims


def _home(place: Any, model: StagedModel, name: str, folder: Path) -> Home:
    if not isinstance(place, Mapping) or "layer" not in place:
        raise ValueError(f"{name}={place}: a site is {EXAMPLE}")
    unknown = [key for key in place if key not in KEYS]
    if unknown:
        raise ValueError(f"{name}.{unknown[0]}={place[unknown[0]]}: a site has {list(KEYS)}")
    if ("start" in place) != ("end" in place) or sum(key in place for key in FORMS) > 1:
        raise ValueError(f"{name}={place}: write units, or start and end, or a basis")
    (layer,), position, bounds = (
        _integers(place, keys, name) for keys in (("layer",), ("position",), ("start", "end"))
    )
    whole = Home(layer, (), position=position[0] if position else None)
    try:
        check_home(model, whole)
        width = model.width(whole.site)
        if "basis" in place:
            columns = _columns(place["basis"], folder)
            return replace(whole, basis=orthonormalised(columns, width, "basis"))
        text = place.get("units")
        if isinstance(text, str) and any(int(number) > width for number in re.findall(r"\d{1,18}", text)):
            raise ValueError(f"units={text[:40]}: the layer has units 0..{width - 1}")
        units = parse_units(text, "units")
        if bounds:
            start, end = bounds
            if not 0 <= start < end <= width:
                raise ValueError(f"end={end}: a block is 0 <= start < end <= {width}")
            units = tuple(range(start, end))
        units = tuple(range(width)) if units is None else units
        model.check(replace(whole.site, units=units))
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from None
    return replace(whole, units=units)


def _integers(place: Mapping[str, Any], keys: Sequence[str], name: str) -> list[int]:
    found = []
    for key in keys:
        if key not in place:
            continue
        value = place[key]
        try:
            found.append(operator.index(value))
        except TypeError:
            raise ValueError(f"{name}.{key}={value}: must be a whole number") from None
        if isinstance(value, bool):
            raise ValueError(f"{name}.{key}={value}: must be a whole number")
    return found


def _columns(basis: Any, folder: Path) -> Any:
    """A basis as numbers, or read from the file that it names."""
    if not isinstance(basis, str):
        return basis
    file, colon, tensor = basis.rpartition(":")
    if not colon or not file.endswith(".safetensors"):
        raise ValueError(f"basis={basis}: write numbers, or FILE.safetensors:TENSOR")
    try:
        path = (folder / file).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise ValueError(f"basis={basis}: no such file beside the submission")
        with safe_open(path, "pt") as opened:
            return opened.get_tensor(tensor)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"basis={basis}: cannot be read ({error})") from None


def columns_of(claims: Claims, model: StagedModel) -> dict[Site, dict[str, Tensor]]:
    """Orthonormal columns of each variable in each layer, at each position, `[width, rank]`.

    Raises:
        ValueError: if a variable's own sites in a layer overlap, or two variables' do.
    """
    found: dict[Site, dict[str, Tensor]] = {}
    for name, homes in claims.items():
        for site in dict.fromkeys(home.site for home in homes):
            width = model.width(site)
            parts = [home.directions(width) for home in homes if home.site == site]
            columns = torch.cat(parts, dim=1)
            found.setdefault(site, {})[name] = orthonormalised(columns, width, f"{name} in {_named(site)}")
    found = dict(sorted(found.items(), key=lambda item: (item[0].layer, item[0].positions or ())))
    for site, columns in found.items():
        _refuse_shared_units(claims, site)
        try:
            refuse_shared(columns)
        except ValueError as error:
            raise ValueError(f"{_named(site)}: {error}") from None
    return found


def _named(site: Site) -> str:
    return f"layer {site.layer}" + (f" at position {site.positions[0]}" if site.positions else "")


def _refuse_shared_units(claims: Claims, site: Site) -> None:
    owner: dict[int, str] = {}
    for name, homes in claims.items():
        for unit in {unit for home in homes if home.site == site for unit in home.units}:
            other = owner.setdefault(unit, name)
            if other != name:
                raise ValueError(f"{other} and {name} overlap, both have unit {unit} of {_named(site)}")


def intervention_at(model: StagedModel, claims: Claims) -> Intervention:
    """The interchange that the claims are about; its sites are whole layers, or whole positions of them.

    Raises:
        ValueError: as `columns_of`.
    """
    found = columns_of(claims, model)
    sites = {name: tuple(site for site, columns in found.items() if name in columns) for name in claims}
    order = dict.fromkeys(site for own in sites.values() for site in own)
    subspaces = iter([_Given(found[site]) for site in order])
    alignment = Alignment(sites, trainable=False)
    made = Intervention(
        alignment, model, Interchange(), lambda **own: next(subspaces)(**own), torch.Generator()
    )
    return made.to(next(model.parameters()).dtype)


class _Given:
    """Builds a layer's subspace."""

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = columns

    def __call__(self, **known: Any) -> FixedDirections:
        return FixedDirections(**known, directions=self.columns)


def dimensions(claims: Claims, variables: Sequence[str]) -> int:
    """How many dimensions some variables take up together."""
    return sum(home.size for name in variables for home in claims[name])
