"""A grid of alignments: the same places in several layers, each trained at several ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

from iit_lab.alignment.alignment import Alignment
from iit_lab.sites import Units


def grid(
    available: Sequence[str],
    layers: Sequence[int] | None,
    component: str = "block_output",
    position: Units = None,
    heads: Units = None,
    units: Units = None,
    variables: Mapping[str, Any] | Sequence[str] | None = None,
    trainable: bool = True,
    per_position: bool = False,
) -> Alignment:
    """What `alignment=grid` names; job=align makes a cell of each layer and rank, aligned as `place` says.

    Args:
        available: the task's variables.
        layers: 0-based; None for all of the network.
        component: as in `alignment.place`, like all that follow.
        position: token positions.
        heads: attention heads.
        units: units at each position.
        variables: of the task's.
        trainable: whether the subspaces are trained.
        per_position: a subspace for each position.

    Raises:
        ValueError: always: a grid is many alignments, which only job=align can take.
    """
    raise ValueError(f"layers={layers}: a grid is for job=align, other jobs take one alignment.layer")
