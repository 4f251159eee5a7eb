"""The cells of a grid: each is a run of its own, with the config it would have alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from iit_lab.config import ConfigError, typed
from iit_lab.jobs.base import Run
from iit_lab.sweeps.folder import INSIDE
from iit_lab.sweeps.names import cell_name

PLACE = "iit_lab.alignment.alignment.place"
OWN = ("alignment", "alignment.layers", "intervention.ranks")
"""Keys of the grid, which its cells do not have."""


def is_grid(run: Run) -> bool:
    """Whether a run's alignment is a grid of them."""
    return "layers" in run.config.alignment


def expand(run: Run, n_layers: int) -> list[Run]:
    """One run per layer and rank, layer by layer, below the grid's directory.

    Args:
        run: of the grid.
        n_layers: of the network.

    Raises:
        ConfigError: for a layer that the network does not have, one or a rank given twice, or a variable with
            a layer of its own.
    """
    plain = run.plain
    _refuse_own_layers(plain["alignment"].get("variables"))
    layers = plain["alignment"]["layers"]
    layers = list(range(n_layers)) if layers is None else list(layers)
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise ConfigError(f"alignment.layers={layers}: the network has layers 0..{n_layers - 1}")
    ranks = plain["intervention"].get("ranks")
    ranks = [plain["intervention"].get("rank")] if ranks is None else list(ranks)
    for key, values in (("alignment.layers", layers), ("intervention.ranks", ranks)):
        if not values or len(set(values)) != len(values):
            raise ConfigError(f"{key}={values}: one or more, each once")
    kept = [text for text in run.overrides if text.lstrip("+").partition("=")[0] not in OWN]
    return [_cell(run, plain, kept, layer, rank) for layer in layers for rank in ranks]


def _refuse_own_layers(variables: Any) -> None:
    """Every place of a grid is at its cell's layer."""
    if not isinstance(variables, Mapping):
        return
    for name, places in variables.items():
        for place in places if isinstance(places, list) else [places]:
            if isinstance(place, Mapping) and "layer" in place:
                key = f"alignment.variables.{name}.layer={place['layer']}"
                raise ConfigError(f"{key}: a grid has alignment.layers; leave it out")


def _cell(run: Run, plain: dict[str, Any], kept: Sequence[str], layer: int, rank: int | None) -> Run:
    alignment = {key: value for key, value in plain["alignment"].items() if key != "layers"}
    intervention = {key: value for key, value in plain["intervention"].items() if key != "ranks"}
    own = [f"alignment.layer={layer}", f"intervention.rank={'null' if rank is None else rank}"]
    config = typed(
        {
            **plain,
            "alignment": {**alignment, "_target_": PLACE, "layer": layer},
            "intervention": {**intervention, "rank": rank},
            "hardware": {**plain["hardware"], "devices": 1, "strategy": "auto"},
        }
    )
    return replace(
        run,
        config=config,
        directory=run.directory / INSIDE / cell_name(own),
        overrides=(*kept, *own),
        home=None,
    )
