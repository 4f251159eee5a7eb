"""Faithful subgraphs and chains of models, against plain loops."""

import numpy as np
import pytest

from iit_lab.analysis.faithful import chain, grow


def random_graph(nodes: int, seed: int = 0) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).integers(0, 3, (nodes, nodes)), 1)
    return (upper + upper.T).astype(np.uint8)


def mean_iia(weights, nodes):
    return np.mean([weights[a, b] / 2 for i, a in enumerate(nodes) for b in nodes[:i]])


@pytest.mark.parametrize("by", ["greedy", "degree"])
def test_the_curve_is_the_mean_of_all_pairs(by):
    weights = random_graph(20)
    curve = grow(weights, by)
    assert sorted(curve.order.tolist()) == list(range(20))
    for k in range(2, 21):
        assert curve.iia[k - 2] == pytest.approx(mean_iia(weights, curve.order[:k]))


def test_nodes_join_where_they_fit_best():
    weights = random_graph(15, 1)
    order = grow(weights).order.tolist()
    assert weights.sum(1)[order[0]] == weights.sum(1).max()
    for k in range(1, 15):
        gains = {node: weights[node, order[:k]].sum() for node in order[k:]}
        assert gains[order[k]] == max(gains.values())


def test_degree_order():
    weights = random_graph(15, 2)
    degrees = weights.sum(1)[grow(weights, "degree").order]
    assert (np.diff(degrees.astype(int)) <= 0).all()


def test_two_blocks():
    """Two sets in which all is right, nothing between them."""
    weights = np.zeros((10, 10), dtype=np.uint8)
    weights[:6, :6] = weights[6:, 6:] = 2
    np.fill_diagonal(weights, 0)
    curve = grow(weights)
    assert curve.faithful(1.0) == list(range(6))
    assert curve.faithful(0.0) == list(range(10))
    assert len(curve.faithful(0.7)) == 7 and grow(weights, exclude=range(6)).faithful(1.0) == [6, 7, 8, 9]


def test_nothing_is_faithful_where_nothing_is_right():
    assert grow(np.zeros((4, 4), dtype=np.uint8)).faithful(0.5) == []


def test_a_chain_hands_on_what_is_left():
    first, second = np.zeros((2, 10, 10), dtype=np.uint8)
    first[:6, :6] = second[4:, 4:] = 2
    np.fill_diagonal(first, 0)
    np.fill_diagonal(second, 0)
    shares = chain({"a": first, "b": second}, 1.0)
    assert [share.nodes for share in shares] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]
    assert [share.iia for share in shares] == [1.0, 1.0]
    other = chain({"a": first, "b": second}, 1.0, exclude=[0, 9])
    assert [share.nodes for share in other] == [[1, 2, 3, 4, 5], [6, 7, 8]]


def test_what_makes_no_chain_is_refused():
    with pytest.raises(ValueError, match="two models or more"):
        chain({"a": random_graph(4)}, 0.9)
    with pytest.raises(ValueError, match="of the same inputs"):
        chain({"a": random_graph(4), "b": random_graph(5)}, 0.9)
    with pytest.raises(ValueError, match="1 of 4 nodes are left"):
        grow(random_graph(4), exclude=[0, 1, 2])
