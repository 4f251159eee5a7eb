"""`job=graphs`: graphs from files, of the thesis or ours; numbers by hand; bad files."""

import pickle

import numpy as np
import pytest
import torch

from iit_lab.analysis.graphs import PairGraph

GRAPHS = (
    "job=graphs",
    "alignment=equality_blocks",
    "job.settings.seconds=0.05",
    "job.settings.faithful=[1.0]",
)


def blocks(nodes: int, *parts: range) -> np.ndarray:
    """Two directions are right within each part, none between parts."""
    weights = np.zeros((nodes, nodes), dtype=np.uint8)
    for part in parts:
        weights[np.ix_(part, part)] = 2
    np.fill_diagonal(weights, 0)
    return weights


def thesis(path, weights):
    """As the thesis stores it: halves, the lower triangle."""
    torch.save(torch.from_numpy(np.tril(weights) / 2).float(), path)
    return path


def test_two_files_by_hand(launch, tmp_path):
    thesis(tmp_path / "xy.pt", blocks(20, range(12)))
    PairGraph(blocks(20, range(8, 20))).save(tmp_path / "yz")
    files = (f"+job.files.xy={tmp_path / 'xy.pt'}", f"+job.files.yz={tmp_path / 'yz.safetensors'}")
    made = launch(*GRAPHS, *files)
    metrics = made.metrics
    assert metrics["density/xy"] == metrics["iia/xy"] == pytest.approx(66 / 190)
    assert metrics["clique/xy"] == metrics["bounded_clique/xy"] == metrics["faithful/xy/f=1.0"] == 12
    assert metrics["nodes_covered/yz"] == pytest.approx(0.6) and metrics["edges_covered/yz"] == 1.0
    text = (made.directory / "graphs.md").read_text()
    assert "xy > yz" in text and "no trees: 20 nodes" in made.output
    row = next(line for line in text.splitlines() if line.startswith("| xy > yz"))
    assert [float(cell) for cell in row.split("|")[2:-1]] == [1, 12, 8, 20]


def test_chains_and_what_is_left_out(launch, tmp_path):
    thesis(tmp_path / "xy.pt", blocks(20, range(12)))
    thesis(tmp_path / "yz.pt", blocks(20, range(8, 20)))
    files = (f"+job.files.xy={tmp_path / 'xy.pt'}", f"+job.files.yz={tmp_path / 'yz.pt'}")
    given = ("job.settings.chains=[[yz,xy],[xy,yz]]", "job.settings.exclude=[0,1,19]")
    made = launch(*GRAPHS, *files, *given)
    assert made.metrics["faithful/xy/f=1.0"] == 10
    rows = [
        line.split("|") for line in (made.directory / "graphs.md").read_text().splitlines() if ">" in line
    ]
    found = {row[1].strip(): [float(cell) for cell in row[3:-1]] for row in rows}
    assert found == {"yz > xy": [6, 11, 17], "xy > yz": [10, 7, 17]}


def test_trees_over_the_inputs_of_a_task(launch, tmp_path):
    """A clique of all sums with X up to 3 is told by one question."""
    thesis(tmp_path / "x.pt", blocks(1000, range(300)))
    made = launch("task=arithmetic_sum", "model=gpt2_small", *GRAPHS, f"+job.files.x={tmp_path / 'x.pt'}")
    assert made.metrics["tree/x"] == 1.0
    assert (made.directory / "trees" / "x.png").exists()


def test_a_file_that_was_filled_by_half_is_recognised(launch, tmp_path):
    weights = np.tril(blocks(20, range(20)) / 2)
    weights[np.add.outer(np.arange(20), np.arange(20)) >= 20] = 0
    torch.save(torch.from_numpy(weights), tmp_path / "big.pt")
    made = launch(*GRAPHS, f"+job.files.xy={tmp_path / 'big.pt'}")
    assert "filled only where i + j < 20" in made.output
    assert made.metrics["iia/xy"] == 1.0 and made.metrics["pairs_known/xy"] == pytest.approx(100 / 190)


class Hostile:
    def __reduce__(self):
        return (print, ("HOSTILE",))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: torch.save(torch.zeros(3, 4), path), "holds (3, 4), a graph is a square tensor"),
        (lambda path: torch.save(torch.full((3, 3), 0.3), path), "has the weights 0, 0.5 and 1"),
        (lambda path: path.write_bytes(pickle.dumps(Hostile())), "job.files.xy="),
        (lambda path: None, "job.files.xy="),
    ],
)
def test_bad_files_are_one_line(launch, tmp_path, write, message):
    write(tmp_path / "bad.pt")
    refused = launch(*GRAPHS, f"+job.files.xy={tmp_path / 'bad.pt'}", code=1)
    assert message in refused.output
    assert "HOSTILE" not in refused.output and "Traceback" not in refused.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "job.files={}: a file for each causal model"),
        (("+job.files.xz={two}",), "job.files: graphs of different numbers of inputs, {'xy': 20, 'xz': 9}"),
        (("job.settings.exclude=[20]",), "job.settings.exclude=[20]: inputs are numbered from 0 to 19"),
        (("job.settings.exclude={most}",), "job.settings.exclude: 1 of 20 nodes are left"),
        (("job.settings.faithful=[2]",), "job.settings.faithful=[2]: each between 0 and 1"),
        (("job.settings.share=0.5",), "job.settings.share"),
        (
            ("+job.files.z={one}", "job.settings.chains=[[xy,xz]]"),
            "job.settings.chains=['xy', 'xz']: two or more of ['xy', 'z'], each once",
        ),
    ],
)
def test_bad_input_is_one_line(launch, tmp_path, arguments, message):
    named = {
        "one": thesis(tmp_path / "one.pt", blocks(20, range(9))),
        "two": thesis(tmp_path / "two.pt", blocks(9, range(9))),
        "most": str([*range(19)]).replace(" ", ""),
    }
    first = (f"+job.files.xy={named['one']}",) if arguments else ()
    filled = [argument.format(**named) for argument in arguments]
    refused = launch(*GRAPHS, *first, *filled, code=1)
    assert message in refused.output
    assert "Traceback" not in refused.output
