"""Disentangling graphs: nodes are inputs, an edge says how many directions of a pair are right.

Kept with two bits an edge; the thesis's files (a square tensor of 0, 0.5 and 1, saved by torch) are read too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from iit_lab.results.files import read_json, replacing, write_json
from iit_lab.results.pickles import read_tensors

BOTH = 2
Matrix = UInt8[np.ndarray, "nodes nodes"]


@dataclass(frozen=True)
class PairGraph:
    """An undirected graph over inputs.

    Args:
        weights: 0, 1 or 2 right directions per pair; symmetric, 0 on the diagonal.
        known: which pairs have been run at all; None for all.
        card: what it is of.

    Raises:
        ValueError: for another shape or other values.
    """

    weights: UInt8[np.ndarray, "nodes columns"]
    known: Bool[np.ndarray, "nodes nodes"] | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.weights.shape
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
            raise ValueError(f"a graph of shape {tuple(shape)}: it has to be square, of two nodes or more")
        if self.weights.max() > BOTH or not np.array_equal(self.weights, self.weights.T):
            raise ValueError("a graph is symmetric and has 0, 1 or 2 right directions per pair")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def pairs(self) -> Bool[np.ndarray, "nodes nodes"]:
        """Which pairs count: those above the diagonal that have been run."""
        above = np.triu(np.ones_like(self.weights, dtype=bool), 1)
        return above if self.known is None else above & self.known

    @property
    def iia(self) -> float:
        """Mean edge weight: the share of directions that are right."""
        return float(self.weights[self.pairs].mean()) / BOTH

    def edges(self, least: int = BOTH) -> Bool[np.ndarray, "nodes nodes"]:
        """The adjacency matrix of pairs with at least so many right directions."""
        kept = self.weights >= least
        np.fill_diagonal(kept, False)
        return kept if self.known is None else kept & self.known

    def save(self, path: Path) -> None:
        """Write `<path>.safetensors`, two bits an edge, and `<path>.json`."""
        rows, columns = np.triu_indices(len(self), 1)
        codes = self.weights[rows, columns] if self.known is None else np.where(
            self.known[rows, columns], self.weights[rows, columns], 3
        )  # fmt: skip
        padded = np.pad(codes.astype(np.uint8), (0, -len(codes) % 4)).reshape(-1, 4)
        packed = padded[:, 0] | padded[:, 1] << 2 | padded[:, 2] << 4 | padded[:, 3] << 6
        with replacing(path.with_name(f"{path.name}.safetensors")) as temporary:
            save_file({"edges": torch.from_numpy(packed)}, temporary)
        write_json(path.with_name(f"{path.name}.json"), {**self.card, "kind": "graph", "nodes": len(self)})


def load(path: Path) -> PairGraph:
    """Read what `PairGraph.save` wrote; `path` without suffix or with `.safetensors`.

    Raises:
        ValueError: if a file is missing, cut short or of something else.
    """
    path = path.with_suffix("") if path.suffix == ".safetensors" else path
    card = read_json(path.with_name(f"{path.name}.json"))
    file = path.with_name(f"{path.name}.safetensors")
    nodes = card.get("nodes")
    try:
        packed = load_file(file)["edges"].numpy()
    except (SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"{file}: cannot be read as a graph ({error})") from None
    if not isinstance(nodes, int) or len(packed) != -(-(nodes * (nodes - 1) // 2) // 4):
        raise ValueError(f"{file}: holds {len(packed)} bytes, which is no graph of {nodes} nodes")
    shifts = np.arange(0, 8, 2, dtype=np.uint8)
    codes = ((packed[:, None] >> shifts) & 3).reshape(-1)[: nodes * (nodes - 1) // 2]
    rows, columns = np.triu_indices(nodes, 1)
    weights, known = np.zeros((nodes, nodes), dtype=np.uint8), np.ones((nodes, nodes), dtype=bool)
    weights[rows, columns] = weights[columns, rows] = np.where(codes > BOTH, 0, codes)
    known[rows, columns] = known[columns, rows] = codes <= BOTH
    return PairGraph(weights, None if known.all() else known, card)


def read_thesis(path: Path) -> PairGraph:
    """Read a graph of the DAS thesis: a square tensor of 0, 0.5 and 1, saved by `torch.save`.

    Its lower half is used where it was filled; files that were filled only where i + j < n (the thesis's
    `graphs_big`) are recognised, and the other pairs are unknown. The stored diagonal means nothing.

    Raises:
        ValueError: if it is no such tensor. Nothing but tensors is unpickled.
    """
    stored = read_tensors(path)
    if not isinstance(stored, Tensor) or stored.ndim != 2 or stored.shape[0] != stored.shape[1]:
        shape = tuple(stored.shape) if isinstance(stored, Tensor) else type(stored).__name__
        raise ValueError(f"{path}: holds {shape}, a graph is a square tensor")
    values = _doubled(path, stored.double())
    nodes = len(values)
    filled = np.add.outer(np.arange(nodes), np.arange(nodes)) < nodes
    half = not values[~filled].any() and values[filled].mean() > 0.0 and nodes > 2
    card = {"source": path.name, "half_filled": bool(half)}
    return PairGraph(values, filled if half else None, card)


def _doubled(path: Path, stored: Float[Tensor, "nodes nodes"]) -> Matrix:
    values = (BOTH * stored).numpy()
    if not np.isin(values, (0, 1, 2)).all():
        raise ValueError(f"{path}: a graph has the weights 0, 0.5 and 1, this has others")
    values = values.astype(np.uint8)
    np.fill_diagonal(values, 0)
    lower, upper = np.tril(values), np.triu(values)
    if not lower.any() or not upper.any():  # one triangle was filled
        values = np.maximum(values, values.T)
    if not np.array_equal(values, values.T):
        raise ValueError(f"{path}: the two directions of a pair have different weights")
    return values
