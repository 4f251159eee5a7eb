"""Alignments: which variable lives at which sites."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from iit_lab.models.base import StagedModel
from iit_lab.sites import Site, Units, parse_units


@dataclass(frozen=True)
class Alignment(Mapping[str, tuple[Site, ...]]):
    """Variable -> sites. Several sites per variable and several variables per site are both legal.

    Args:
        sites: the mapping.
        trainable: whether the subspaces at these sites are trained.
    """

    sites: Mapping[str, tuple[Site, ...]]
    trainable: bool = True

    def __getitem__(self, variable: str) -> tuple[Site, ...]:
        return self.sites[variable]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def at_layer(self, layer: int) -> "Alignment":
        """The same components and units, all in another layer."""
        return self._map(lambda site: replace(site, layer=layer))

    def whole(self) -> "Alignment":
        """The same places with all their units."""
        return self._map(lambda site: site.whole)

    def renamed(self, variables: Sequence[str]) -> "Alignment":
        """The same sites for other variables, matched in order.

        Raises:
            ValueError: if there are not as many.
        """
        if len(variables) != len(self.sites):
            raise ValueError(f"variables={list(variables)}: the alignment has {list(self.sites)}")
        return replace(self, sites=dict(zip(variables, self.sites.values(), strict=True)))

    def checked(self, model: StagedModel) -> "Alignment":
        """The same alignment, once the network is known to have its sites.

        Raises:
            ValueError: naming what the network does not have.
        """
        for sites in self.sites.values():
            for site in sites:
                model.check(site)
        return self._map(model.resolve)

    def _map(self, change) -> "Alignment":
        moved = {name: tuple(change(site) for site in sites) for name, sites in self.sites.items()}
        return replace(self, sites=moved)

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Plain data, as `alignment.json` holds it."""
        return {name: [asdict(site) for site in sites] for name, sites in self.sites.items()}


def place(
    available: Sequence[str],
    layer: int,
    component: str = "block_output",
    position: Units = None,
    heads: Units = None,
    units: Units = None,
    variables: Mapping[str, Any] | Sequence[str] | None = None,
    trainable: bool = True,
    per_position: bool = False,
) -> Alignment:
    """Build an alignment from a config.

    Args:
        available: the task's variables.
        layer: 0-based; for every variable that does not say otherwise, and so for the rest.
        component: which activation of the layer.
        position: token positions.
        heads: attention heads.
        units: units at each position.
        variables: None for all variables at that one place; a list of some of them; or, per variable,
            what differs for it (`{left_equality: {units: "0:8"}}`), or a list of such places.
        trainable: whether subspaces are trained.
        per_position: a subspace for each position instead of one over all of them together.

    Raises:
        ValueError: for an unknown variable or key, or indices that cannot be read.
    """
    default = {"layer": layer, "component": component, "position": position, "heads": heads, "units": units}
    if variables is None:
        variables = list(available)
    if not isinstance(variables, Mapping):
        variables = {name: None for name in variables}
    unknown = [name for name in variables if name not in available]
    if unknown or not variables:
        raise ValueError(f"variables={unknown}: the task has {list(available)}")
    sites = {}
    for name, places in variables.items():
        several: list[Any] = list(places) if isinstance(places, list | tuple) else [places]
        found = [_site(f"variables.{name}", default, own or {}) for own in several]
        sites[name] = tuple(one for site in found for one in (_each(site) if per_position else [site]))
    return Alignment(sites, trainable)


def _each(site: Site) -> list[Site]:
    if site.positions is None:
        raise ValueError("per_position=True: name the positions, such as position=0:6")
    return [replace(site, positions=(position,)) for position in site.positions]


def _site(path: str, default: Mapping[str, Any], own: Mapping[str, Any]) -> Site:
    unknown = sorted(set(own) - set(default))
    if unknown:
        raise ValueError(f"{path}.{unknown[0]}={own[unknown[0]]}: a place has {sorted(default)}")
    keys = {**default, **own}

    def indices(key: str) -> tuple[int, ...] | None:
        return parse_units(keys[key], f"{path}.{key}" if key in own else key)

    return Site(keys["layer"], keys["component"], indices("position"), indices("heads"), indices("units"))
