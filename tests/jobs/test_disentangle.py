"""`job=disentangle`: graphs are made once, by one process or two; trees and classifier; bad input."""

import json

import numpy as np
import pytest

from iit_lab.analysis.graphs import load
from iit_lab.analysis.trees import predict

SMALL = ("experiment=sum_disentangle", "debug=fast", "job.fit.min_accuracy=null", "limit.rows=40")
SMALL += ("alignment.layers=[3,11]", "outputs=shared", "job.settings.seconds=0.05")


def test_graphs_tables_and_figures(launch):
    made = launch(*SMALL)
    for name in ("xy", "xz", "yz"):
        for layer in (3, 11):
            graph = load(made.directory / "graphs" / f"{name}_layer-{layer}")
            assert len(graph) == 40 and graph.card["model"] == name and graph.card["layer"] == layer
            assert made.metrics[f"iia/{name}/layer_{layer}"] == pytest.approx(graph.iia)
            density = graph.edges()[graph.pairs].mean()
            assert made.metrics[f"density/{name}/layer_{layer}"] == pytest.approx(density)
    files = {
        path.relative_to(made.directory).as_posix() for path in made.directory.rglob("*") if path.is_file()
    }
    wanted = {"disentangle.md", "graphs.csv", "cliques.json", "figures/iia.png", "figures/faithful.pdf"}
    assert wanted <= files


def test_a_layer_that_was_made_is_not_made_again(launch):
    first = launch(*SMALL)
    graphs = {path: path.read_bytes() for path in (first.directory / "graphs").iterdir()}
    gone = first.directory / "graphs" / "xz_layer-11.json"
    gone.unlink()
    (first.directory / "result.json").unlink()
    again = launch(*SMALL)
    assert "graphs: 1 of 6 are to be made" in again.output
    assert again.metrics == first.metrics
    assert {path: path.read_bytes() for path in graphs} == graphs


def test_two_processes_make_the_same_graphs(launch):
    alone = launch(*SMALL, directory="alone")
    both = launch(*SMALL, "hardware=ddp_cpu", directory="both")
    assert both.metrics == alone.metrics
    for path in (alone.directory / "graphs").iterdir():
        assert (both.directory / "graphs" / path.name).read_bytes() == path.read_bytes()


def test_trees_and_the_classifier_of_a_network_that_is_made_to_fit(launch, monkeypatch):
    """Answers are planted: X+Y holds among small sums, Y+Z among large ones."""
    from iit_lab.analysis import pairs

    def answers(activations, intervention, inputs, variables, rows, progress=None):
        n = len(inputs.base)
        return _planted(n, intervention)

    def _planted(n, intervention):
        import torch

        del intervention
        return torch.randint(28, (n, n), generator=torch.Generator().manual_seed(0)).to(torch.uint8)

    original = pairs.weights
    calls = []

    def weights(right):
        planted = original(right)
        calls.append(len(calls))
        half = len(planted) // 2
        rows = slice(0, half) if calls[-1] % 3 == 0 else slice(half, None)
        if calls[-1] % 3 != 1:
            planted[rows, rows] = 2
        return planted.fill_diagonal_(0)

    monkeypatch.setattr(pairs, "answers", answers)
    monkeypatch.setattr(pairs, "weights", weights)
    made = launch(*SMALL[:3], "alignment.layers=[11]", "limit.rows=200", *SMALL[5:], "job.settings.fits=0.2")
    assert made.metrics["clique/xy/layer_11"] >= 100 and made.metrics["clique/yz/layer_11"] >= 100
    assert made.metrics["nodes_covered/xy/layer_11"] >= 0.5
    assert made.metrics["tree/xy"] > 0.9  # inputs are listed by X first
    saved = json.loads((made.directory / "trees" / "xy.json").read_text())
    assert set(np.unique(saved["feature"])) - {-2}
    assert callable(predict)
    assert made.metrics["classifier/accuracy"] > made.metrics["classifier/majority"]
    assert made.metrics["labels/xy"] + made.metrics["labels/yz"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("job.settings.seconds=0",), "job.settings.seconds=0: a search needs a time budget above 0"),
        (("job.settings.least_clique=1",), "job.settings.least_clique=1: 2 or more"),
        (("job.settings.share=1.0",), "job.settings.share=1.0: between 0 and 1"),
        (("job.settings.layer=5",), "job.settings.layer=5: one of [3, 11]"),
        (("+job.settings.colour=5",), "job.settings.colour=5: there are"),
        (("~job.models.xz", "~job.models.yz"), "job.models=['xy']: a family has two causal models or more"),
        (("intervention.ranks=[5,21]",), "job.rank=None: one of intervention.ranks=[5, 21]"),
        (("job.rank=7",), "job.rank=7: one of intervention.ranks=[21]"),
        (("alignment.layers=[12]",), "alignment.layers=[12]: the network has layers 0..11"),
    ],
)
def test_bad_input_is_one_line(launch, tmp_path, arguments, message):
    refused = launch(*SMALL, *arguments, code=1)
    assert message in refused.output
    assert "Traceback" not in refused.output
    assert not list(tmp_path.glob("shared/alignments/*/cells"))


def test_a_task_of_too_many_inputs_is_refused(launch):
    refused = launch(
        *("experiment=patterns", "debug=fast", "job=disentangle", "job.fit.min_accuracy=null"),
        *("job.trained_on=null", "outputs=shared"),
        code=1,
    )
    assert "trained_on" in refused.output or "has no list of all inputs" in refused.output
