"""Graph files: ours, the thesis's, and hostile ones."""

import pickle

import numpy as np
import pytest
import torch

from iit_lab.analysis.graphs import PairGraph, load, read_thesis


def random_graph(nodes: int, seed: int = 0) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).integers(0, 3, (nodes, nodes)), 1)
    return (upper + upper.T).astype(np.uint8)


@pytest.mark.parametrize("nodes", [2, 3, 5, 64, 101])
def test_a_graph_comes_back(tmp_path, nodes):
    weights = random_graph(nodes)
    PairGraph(weights, card={"model": "xy"}).save(tmp_path / "graph")
    again = load(tmp_path / "graph.safetensors")
    np.testing.assert_array_equal(again.weights, weights)
    assert again.known is None and again.card["model"] == "xy"


def test_two_bits_an_edge(tmp_path):
    PairGraph(random_graph(1000)).save(tmp_path / "graph")
    assert (tmp_path / "graph.safetensors").stat().st_size < 1000 * 999 / 2 / 4 + 300


def test_unknown_pairs_come_back(tmp_path):
    known = np.add.outer(np.arange(9), np.arange(9)) < 9
    weights = np.where(known, random_graph(9), 0).astype(np.uint8)
    PairGraph(weights, known).save(tmp_path / "graph")
    again = load(tmp_path / "graph")
    np.testing.assert_array_equal(again.weights, weights)
    off = ~np.eye(9, dtype=bool)
    np.testing.assert_array_equal(again.known[off], known[off])


def test_iia_and_edges_by_hand():
    graph = PairGraph(np.array([[0, 2, 1], [2, 0, 0], [1, 0, 0]], dtype=np.uint8))
    assert graph.iia == 0.5  # (1 + .5 + 0) / 3
    assert graph.edges().sum() == 2 and graph.edges(1).sum() == 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros((3, 4), dtype=np.uint8), r"shape \(3, 4\)"),
        (np.zeros((1, 1), dtype=np.uint8), "two nodes or more"),
        (np.full((3, 3), 3, dtype=np.uint8), "0, 1 or 2"),
        (np.triu(np.ones((3, 3), dtype=np.uint8), 1), "symmetric"),
    ],
)
def test_what_is_no_graph_is_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        PairGraph(weights)


def test_a_file_that_is_cut_or_of_another_size_is_refused(tmp_path):
    PairGraph(random_graph(20)).save(tmp_path / "graph")
    card = tmp_path / "graph.json"
    card.write_text(card.read_text().replace('"nodes": 20', '"nodes": 30'))
    with pytest.raises(ValueError, match="is no graph of 30 nodes"):
        load(tmp_path / "graph")
    whole = tmp_path / "graph.safetensors"
    whole.write_bytes(whole.read_bytes()[:40])
    with pytest.raises(ValueError, match="cannot be read as a graph"):
        load(tmp_path / "graph")
    with pytest.raises(ValueError, match="no such file"):
        load(tmp_path / "nothing")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("triangle", ["both", "lower"])
def test_the_thesis_s_format(tmp_path, dtype, triangle):
    weights = random_graph(12)
    stored = torch.from_numpy(weights / 2).to(dtype)
    stored = torch.tril(stored) if triangle == "lower" else stored
    stored.fill_diagonal_(0.5)  # which means nothing there
    torch.save(stored, tmp_path / "graph.pt")
    found = read_thesis(tmp_path / "graph.pt")
    np.testing.assert_array_equal(found.weights, weights)
    assert found.known is None and found.card["half_filled"] is False


def test_a_half_filled_file_is_recognised(tmp_path):
    """The thesis's graphs_big: only where i + j < n, so a mean over all looks like half of what it is."""
    filled = np.add.outer(np.arange(40), np.arange(40)) < 40
    torch.save(torch.from_numpy(np.where(filled, 1.0, 0.0)), tmp_path / "graph.pt")
    found = read_thesis(tmp_path / "graph.pt")
    assert found.card["half_filled"] is True
    assert found.iia == 1.0
    assert found.pairs.sum() == np.triu(filled, 1).sum()


class Hostile:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_hostile_file_is_refused_and_does_nothing(tmp_path):
    torch.save(Hostile(tmp_path / "owned"), tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Hostile(tmp_path / "owned")))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(ValueError, match="cannot be read as tensors"):
            read_thesis(tmp_path / name)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (torch.zeros(3, 4), r"holds \(3, 4\), a graph is a square tensor"),
        ({"graph": torch.zeros(3, 3)}, "holds dict"),
        (torch.full((3, 3), 0.3), "has others"),
        (torch.tensor([[0.0, 1.0], [0.5, 0.0]]), "two directions of a pair"),
    ],
)
def test_other_tensors_are_refused(tmp_path, stored, message):
    torch.save(stored, tmp_path / "graph.pt")
    with pytest.raises(ValueError, match=message):
        read_thesis(tmp_path / "graph.pt")
    with pytest.raises(ValueError, match="no such file"):
        read_thesis(tmp_path / "nothing.pt")
