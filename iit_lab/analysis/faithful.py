"""Faithful subgraphs: inputs among which a causal model holds, and several models that share the inputs.

The DAS thesis's `iia_graph_analyser` (Pislar 2024): the largest greedily grown set of nodes whose mean
pairwise IIA is at least f.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from iit_lab.analysis.graphs import BOTH, Matrix


@dataclass(frozen=True)
class Curve:
    """Nodes in the order in which they join, and the mean IIA of the pairs among the first k.

    Args:
        order: nodes.
        iia: of the first 2, 3, ... nodes; one entry less than there are nodes.
    """

    order: Int[np.ndarray, " nodes"]
    iia: Float[np.ndarray, " sizes"]

    def faithful(self, least: float) -> list[int]:
        """The largest first part whose mean IIA is at least `least`; nothing if no two nodes have it."""
        enough = np.flatnonzero(self.iia >= least - 1e-12)
        return sorted(self.order[: enough[-1] + 2].tolist()) if len(enough) else []


def grow(weights: Matrix, by: Literal["greedy", "degree"] = "greedy", exclude: Collection[int] = ()) -> Curve:
    """Let nodes join one by one.

    Args:
        weights: right directions per pair, 0, 1 or 2.
        by: `greedy`, each time the one with the highest mean weight to those that have joined; `degree`, by
            their weight to all.
        exclude: nodes that may not join.

    Raises:
        ValueError: if fewer than two nodes are left.
    """
    left = np.setdiff1d(np.arange(len(weights)), np.fromiter(exclude, dtype=np.int64, count=len(exclude)))
    if len(left) < 2:
        raise ValueError(f"exclude: {len(left)} of {len(weights)} nodes are left, a subgraph has two or more")
    part = weights[np.ix_(left, left)].astype(np.float64) / BOTH
    degrees = part.sum(1)
    order = np.argsort(-degrees, kind="stable") if by == "degree" else _greedy(part, degrees)
    sums = np.cumsum([part[node, order[:i]].sum() for i, node in enumerate(order)])[1:]
    sizes = np.arange(2, len(order) + 1)
    return Curve(left[order], sums / (sizes * (sizes - 1) / 2))


def _greedy(part: Float[np.ndarray, "nodes nodes"], degrees: Float[np.ndarray, " nodes"]) -> np.ndarray:
    tie = degrees / (degrees.max() + 1) / len(part)  # below any difference of two sums
    joined = [int(degrees.argmax())]
    gain = part[joined[0]] + tie
    gain[joined[0]] = -np.inf
    for _ in range(len(part) - 1):
        node = int(gain.argmax())
        joined.append(node)
        gain += part[node]
        gain[node] = -np.inf
    return np.array(joined)


@dataclass(frozen=True)
class Share:
    """What one model of a chain takes.

    Args:
        model: its name.
        nodes: those it explains that no model before it does.
        iia: mean IIA among them; 0 for fewer than two.
    """

    model: str
    nodes: list[int]
    iia: float


def chain(graphs: Mapping[str, Matrix], least: float, exclude: Collection[int] = ()) -> list[Share]:
    """Several models, each taking its faithful subgraph of the nodes that those before it have left.

    Args:
        graphs: weights by model, in the order in which they take; the whole sum last, if it is among them.
        least: IIA that a subgraph has to have.
        exclude: nodes that none may take.

    Raises:
        ValueError: for models of different inputs, or fewer than two.
    """
    if len(graphs) < 2 or len({len(weights) for weights in graphs.values()}) != 1:
        raise ValueError(f"graphs={list(graphs)}: a chain has two models or more, all of the same inputs")
    taken, shares = set(exclude), []
    for name, weights in graphs.items():
        nodes = grow(weights, exclude=taken).faithful(least) if len(weights) - len(taken) > 1 else []
        within = weights[np.ix_(nodes, nodes)].sum() / BOTH
        pairs = len(nodes) * (len(nodes) - 1)
        shares.append(Share(name, nodes, float(within / pairs) if pairs else 0.0))
        taken |= set(nodes)
    return shares
