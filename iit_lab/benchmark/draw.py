"""What is drawn before a benchmark is trained: alignments, neutral names, nonces, seeds."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from iit_lab.alignment.sampling import AlignmentSpace, Home, Sampled
from iit_lab.benchmark.answers import new_nonce, new_seed
from iit_lab.benchmark.claims import Claims
from iit_lab.models.base import StagedModel
from iit_lab.randomness import seed_of
from iit_lab.results.files import read_json, write_json
from iit_lab.sites import Site

NAME_BYTES = 4


@dataclass(frozen=True)
class Planned:
    """A network to be trained.

    Args:
        name: neutral, says nothing about it.
        nonce: of its commitment.
        sampled: where its variables are put.
        trained: index of its set of variables.
        seed: of its initial weights.
    """

    name: str
    nonce: str
    sampled: Sampled
    trained: int
    seed: int

    @property
    def claims(self) -> Claims:
        """The truth about it."""
        return {name: (home,) for name, home in self.sampled.homes.items()}


def plan(
    space: AlignmentSpace, n: int, sets: int, seed: int | None, state: Path
) -> tuple[int, list[Planned]]:
    """What is to be trained; the same again if an earlier attempt has left its state.

    Args:
        space: of the alignments.
        n: alignments.
        sets: of variables; each alignment has a network for each of them.
        seed: None draws one.
        state: file that keeps what cannot be drawn again.

    Returns:
        The secret seed, and the networks.

    Raises:
        ValueError: if there are not so many alignments.
    """
    total = n * sets
    if state.exists():
        kept = read_json(state)
    else:
        names: dict[str, None] = {}
        while len(names) < total:  # a letter first: yaml takes digits for a number
            names[f"n{secrets.token_hex(NAME_BYTES)}"] = None
        kept = {
            "seed": new_seed() if seed is None else seed,
            "names": list(names),
            "nonces": [new_nonce() for _ in range(total)],
        }
    sampled = space.sample(n, seed_of(kept["seed"], "alignments"))
    if not state.exists():
        write_json(state, kept)
    return kept["seed"], [
        Planned(
            kept["names"][i * sets + k],
            kept["nonces"][i * sets + k],
            own,
            k,
            seed_of(kept["seed"], "network", i, k),
        )
        for i, own in enumerate(sampled)
        for k in range(sets)
    ]


def elsewhere(claims: Claims, model: StagedModel, variables: Sequence[str]) -> Claims:
    """The same sizes where the variables are not, for a score that must be at chance.

    In directions of the same layer that are orthogonal to all that the variables have, if there are enough
    (units where the variables have units); else in units of the last hidden layer, where no agreement of two
    variables can be.

    Args:
        claims: the truth.
        model: the network.
        variables: of which claims are made.
    """
    wanted = {name: claims[name][0] for name in variables}
    homes = [home for own in claims.values() for home in own]
    found: dict[str, tuple[Home, ...]] = {}
    taken: dict[Site, int] = {}
    free = {site: _free(model, site, homes) for site in {home.site for home in wanted.values()}}
    needs: dict[Site, int] = {}
    for home in wanted.values():
        needs[home.site] = needs.get(home.site, 0) + home.size
    if any(needs[site] > len(free[site]) for site in needs):
        last = replace(next(iter(wanted.values())), layer=model.n_layers - 1, basis=None)
        free = {last.site: _free(model, last.site, homes)}
        if not free[last.site]:
            raise ValueError(
                f"layer={last.layer}: the variables take all of it, there is no other place in it"
            )
        most = max(1, len(free[last.site]) // len(wanted))
        wanted = {
            name: replace(last, units=tuple(range(min(home.size, most)))) for name, home in wanted.items()
        }
    for name, home in wanted.items():
        start = taken.get(home.site, 0)
        taken[home.site] = start + home.size
        found[name] = tuple(free[home.site][start : start + home.size])
    return found


def _free(model: StagedModel, site: Site, homes: Sequence[Home]) -> list[Home]:
    """What no variable has of a layer: units, or directions where one of them has directions."""
    width, position = model.width(site), site.positions[0] if site.positions else None
    here = [home for home in homes if home.site == site]
    if all(home.basis is None for home in here):  # true of a layer where none of them lives, too
        units = {unit for home in here for unit in home.units}
        return [Home(site.layer, (unit,), position=position) for unit in range(width) if unit not in units]
    columns = torch.cat([home.directions(width) for home in here], dim=1)
    whole = torch.linalg.qr(columns, mode="complete").Q[:, columns.shape[1] :]
    return [Home(site.layer, (), whole[:, i : i + 1], position) for i in range(whole.shape[1])]


def kinds(alignments: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of `AlignmentSpace` from a config, whose kinds may be null and whose layers are words."""
    least = {int(layer): size for layer, size in (alignments.get("least") or {}).items()}
    given = {name: kind for name, kind in alignments["kinds"].items() if kind is not None}
    return {**alignments, "kinds": given, "least": least}
