"""Cliques of a disentangling graph: sets of inputs that are right under each other's interchange.

The finders of the DAS thesis (Pislar 2024). A graph is a boolean adjacency matrix, symmetric and without
loops, a clique a list of nodes.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import networkx as nx
import numpy as np
from jaxtyping import Bool

Adjacency = Bool[np.ndarray, "nodes nodes"]
Clique = list[int]


@dataclass(frozen=True)
class Found:
    """What a search within a time budget found.

    Args:
        clique: the largest.
        complete: whether the search ended: then there is no larger one.
    """

    clique: Clique
    complete: bool


def greedy(graph: Adjacency, starts: int = 32) -> Clique:
    """Grown node by node, each time the one with most neighbours among those that are left.

    Args:
        graph: adjacency.
        starts: the search is begun with each of so many nodes of highest degree; the largest clique is kept.

    Returns:
        Sorted nodes; one node for a graph without edges.
    """
    own_degrees = graph.sum(1)
    order = np.argsort(-own_degrees, kind="stable")
    found: Clique = []
    for start in order[: max(1, starts)]:
        if own_degrees[start] < len(found):  # it is in no larger clique, and neither are those after it
            break
        clique, left = [int(start)], graph[start].copy()
        degrees = graph[:, left].sum(1)
        while left.any():
            node = int(np.where(left, degrees, -1).argmax())
            clique.append(node)
            gone = left & ~graph[node]
            left &= graph[node]
            degrees -= graph[:, gone].sum(1)
        if len(clique) > len(found):
            found = clique
    return sorted(found)


def removed(graph: Adjacency, least: int = 5, starts: int = 4) -> list[Clique]:
    """Disjoint cliques: the largest that `greedy` finds is taken out, while it has `least` nodes or more."""
    nodes, found = np.arange(len(graph)), []
    while len(nodes) >= least:
        clique = greedy(graph[np.ix_(nodes, nodes)], starts)
        if len(clique) < least:
            break
        found.append([int(nodes[node]) for node in clique])
        nodes = np.delete(nodes, clique)
    return found


def largest(graph: Adjacency, seconds: float) -> Found:
    """Branch and bound with a greedy colouring as bound, begun from what `greedy` finds.

    Tomita and Seki 2003, "An Efficient Branch-and-Bound Algorithm for Finding a Maximum Clique".

    Args:
        graph: adjacency.
        seconds: time budget.

    Raises:
        ValueError: for a budget that is not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"seconds={seconds}: a search needs a time budget above 0")
    search = _Search(graph, time.monotonic() + seconds)
    search.run()
    return Found(sorted(search.best), not search.late)


class _Search:
    """Sets of nodes as the bits of integers, nodes renumbered by degree."""

    def __init__(self, graph: Adjacency, deadline: float) -> None:
        self.order = np.argsort(graph.sum(1), kind="stable")
        renumbered = graph[np.ix_(self.order, self.order)]
        packed = np.packbits(renumbered, axis=1, bitorder="little")
        self.neighbours = [int.from_bytes(row.tobytes(), "little") for row in packed]
        self.best = greedy(graph)
        self.deadline, self.late = deadline, False

    def run(self) -> None:
        self._expand([], (1 << len(self.neighbours)) - 1)

    def _coloured(self, left: int) -> tuple[list[int], list[int]]:
        """Nodes with the number of colours that they and those before them need."""
        nodes, bounds, colour = [], [], 0
        while left:
            colour += 1
            independent = left
            while independent:
                node = independent.bit_length() - 1
                left ^= 1 << node
                independent &= ~(self.neighbours[node] | 1 << node)
                nodes.append(node)
                bounds.append(colour)
        return nodes, bounds

    def _expand(self, clique: list[int], left: int) -> None:
        nodes, bounds = self._coloured(left)
        for node, bound in zip(reversed(nodes), reversed(bounds), strict=True):
            if len(clique) + bound <= len(self.best):
                return
            if time.monotonic() > self.deadline:
                self.late = True
                return
            grown, after = [*clique, node], left & self.neighbours[node]
            if after:
                self._expand(grown, after)
            elif len(grown) > len(self.best):
                self.best = [int(self.order[each]) for each in grown]
            left ^= 1 << node


def maximal(graph: Adjacency, seconds: float) -> tuple[list[Clique], bool]:
    """Maximal cliques (Bron and Kerbosch, by networkx), as many as there is time for; whether they are all.

    Raises:
        ValueError: for a budget that is not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"seconds={seconds}: a search needs a time budget above 0")
    deadline, found = time.monotonic() + seconds, []
    for clique in nx.find_cliques(nx.from_numpy_array(graph)):
        found.append(sorted(clique))
        if time.monotonic() > deadline:
            return found, False
    return found, True


def node_coverage(cliques: Iterable[Sequence[int]], nodes: int) -> float:
    """Share of the nodes that are in any of the cliques."""
    return len(members(cliques)) / nodes


def edge_coverage(cliques: Iterable[Sequence[int]], graph: Adjacency) -> float:
    """Share of the graph's edges that lie within a clique; 0 for a graph without edges."""
    covered = np.zeros_like(graph)
    for clique in cliques:
        covered[np.ix_(clique, clique)] = True
    edges = np.triu(graph, 1).sum()
    return float(np.triu(covered & graph, 1).sum() / edges) if edges else 0.0


def members(cliques: Iterable[Sequence[int]]) -> set[int]:
    """All nodes of some cliques."""
    return {int(node) for clique in cliques for node in clique}


def overlap(one: Iterable[Sequence[int]], other: Iterable[Sequence[int]]) -> float:
    """Nodes in cliques of both, of the nodes in cliques of either; 0 if there are none."""
    first, second = members(one), members(other)
    return len(first & second) / len(first | second) if first | second else 0.0
