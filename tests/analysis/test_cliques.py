"""Clique finders against networkx and planted cliques."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from iit_lab.analysis import cliques


def random_graph(nodes: int, density: float, seed: int, planted: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    upper = np.triu(random.random((nodes, nodes)) < density, 1)
    inside = random.permutation(nodes)[:planted]
    upper[np.ix_(inside, inside)] = True
    upper = np.triu(upper, 1)
    return upper | upper.T


def is_clique(graph: np.ndarray, nodes: list[int]) -> bool:
    return len(set(nodes)) == len(nodes) and all(graph[a, b] for a, b in combinations(nodes, 2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("density", [0.1, 0.5, 0.8])
def test_branch_and_bound_finds_networkx_s_maximum(density, seed):
    graph = random_graph(40, density, seed)
    expected = max(map(len, nx.find_cliques(nx.from_numpy_array(graph))))
    found = cliques.largest(graph, 30)
    assert found.complete and len(found.clique) == expected and is_clique(graph, found.clique)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("density", [0.3, 0.7])
def test_greedy_is_no_smaller_than_networkx_s_approximation(density, seed):
    graph = random_graph(150, density, seed)
    theirs = nx.approximation.max_clique(nx.from_numpy_array(graph))
    found = cliques.greedy(graph)
    assert is_clique(graph, found)
    assert len(found) >= len(theirs)


def test_a_planted_clique_is_found():
    graph = random_graph(300, 0.3, 0, planted=40)
    assert len(cliques.greedy(graph)) >= 40


def test_maximal_cliques_are_networkx_s():
    graph = random_graph(25, 0.5, 1)
    found, complete = cliques.maximal(graph, 30)
    assert complete
    assert {frozenset(each) for each in found} == {
        frozenset(each) for each in nx.find_cliques(nx.from_numpy_array(graph))
    }


def test_removal_gives_disjoint_cliques_of_the_least_size():
    graph = random_graph(120, 0.6, 2)
    found = cliques.removed(graph, 4)
    assert all(is_clique(graph, each) and len(each) >= 4 for each in found)
    assert sum(map(len, found)) == len(cliques.members(found))
    rest = np.setdiff1d(np.arange(120), sorted(cliques.members(found)))
    left, _ = cliques.maximal(graph[np.ix_(rest, rest)], 30)
    assert max(map(len, left)) < 6  # the greedy search may miss one, not much more


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_search_needs_time(seconds):
    graph = random_graph(5, 0.5, 0)
    for search in (cliques.largest, cliques.maximal):
        with pytest.raises(ValueError, match=f"seconds={seconds}: a search needs a time budget above 0"):
            search(graph, seconds)


def test_a_search_stops_when_its_time_is_over():
    graph = random_graph(600, 0.9, 0)
    found = cliques.largest(graph, 0.2)
    assert not found.complete and is_clique(graph, found.clique)
    several, complete = cliques.maximal(graph, 0.2)
    assert several and not complete


def test_a_graph_without_edges():
    empty = np.zeros((6, 6), dtype=bool)
    assert len(cliques.greedy(empty)) == 1
    assert cliques.removed(empty) == []
    assert cliques.edge_coverage([], empty) == cliques.node_coverage([], 6) == 0.0
    assert cliques.overlap([], []) == 0.0


def test_coverage_and_overlap_by_hand():
    graph = np.zeros((6, 6), dtype=bool)
    for a, b in [(0, 1), (1, 2), (0, 2), (3, 4)]:
        graph[a, b] = graph[b, a] = True
    assert cliques.node_coverage([[0, 1, 2]], 6) == 0.5
    assert cliques.edge_coverage([[0, 1, 2]], graph) == 0.75
    assert cliques.overlap([[0, 1, 2]], [[2, 3]]) == 0.25
