"""What `job=disentangle` says about its graphs: densities, cliques, shared inputs, which inputs they are."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from iit_lab.analysis import features, newcomers, trees
from iit_lab.analysis.graphs import BOTH, PairGraph
from iit_lab.causal.model import Setting
from iit_lab.jobs import graph_tables
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.disentangle_figures import draw
from iit_lab.jobs.disentangle_figures import tree as draw_tree
from iit_lab.jobs.disentangle_settings import Settings
from iit_lab.jobs.targets import at
from iit_lab.results import figures
from iit_lab.results.files import replacing, write_json

log = logging.getLogger(__name__)
Graphs = Mapping[tuple[str, int], PairGraph]
Labels = Mapping[str, np.ndarray]


def report(run: Run, graphs: Graphs, labels: Labels, inputs: Setting, settings: Settings) -> Outcome:
    """Tables, figures and metrics.

    Args:
        run: whose directory they are written to.
        graphs: by causal model and layer.
        labels: counterfactual label of every pair (base, source), by causal model.
        inputs: of the nodes.
        settings: see there.
    """
    layers = sorted({layer for _, layer in graphs})
    names = list(labels)
    layer = settings.layer
    if layer is None:
        layer = max(layers, key=lambda one: np.mean([graphs[name, one].iia for name in names]))
    first = next(iter(labels.values()))
    unmoved = {key: _both(labels[key[0]] == _answers(graph)[:, None]) for key, graph in graphs.items()}
    agree = _both(np.all([own == first for own in labels.values()], axis=0)) == BOTH
    rows, found = [], {}
    for (name, at_layer), graph in graphs.items():
        still, count = unmoved[name, at_layer] == BOTH, graph.pairs
        without = {"moved": still, "discriminating": agree}
        row, found[name, at_layer] = graph_tables.describe(graph, without, settings)
        row["right without intervention"] = float((still & count).sum() / count.sum())
        row["models agree"] = float((agree & count).sum() / count.sum())
        rows.append({"model": name, "layer": at_layer, **row})
    table = pd.DataFrame(rows)
    here = {name: graphs[name, layer] for name in names}
    curves = graph_tables.curves(here, settings)
    shared = graph_tables.shared(here, {name: found[name, layer] for name in names}, curves, settings)
    told, judged = _told_apart(run, here, found, agree, inputs, settings, layer)
    metrics = _metrics(table) | told | graph_tables.sizes(shared)
    write_json(run.directory / "cliques.json", {f"{name}/{at}": own for (name, at), own in found.items()})
    text = _text(table, shared, told, len(first), layer)
    for name, content in (("graphs.csv", table.to_csv(index=False)), ("disentangle.md", text)):
        with replacing(run.directory / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    draw(run.directory / "figures", table, curves, judged, layer)
    log.info("%s", text)
    files = {"table": "disentangle.md", "graphs": "graphs", "cliques": "cliques.json", "figures": "figures"}
    return Outcome(metrics, files=files)


def _answers(graph: PairGraph) -> np.ndarray:
    """The network's class for each input, without intervention."""
    return np.array(graph.card["answers"])


def _both(right: np.ndarray) -> np.ndarray:
    return right.astype(np.uint8) + right.T.astype(np.uint8)


def _told_apart(
    run: Run,
    here: Mapping[str, PairGraph],
    found: Mapping[tuple[str, int], list[list[int]]],
    agree: np.ndarray,
    inputs: Setting,
    settings: Settings,
    layer: int,
) -> tuple[dict[str, float], newcomers.Judged | None]:
    """Trees over the largest cliques, and the classifier of inputs that it has not seen."""
    described = features.of_numbers(inputs)
    metrics = grow_trees(run, {name: found[name, layer] for name in here}, described, f", layer {layer}")
    with at("job.settings"):
        labelled = newcomers.label({name: own.weights for name, own in here.items()}, ~agree, settings.fits)
    shares = {name: count / len(described) for name, count in labelled.counts.items()}
    metrics |= {f"labels/{name}": share for name, share in shares.items()}
    order = np.random.default_rng(run.config.seed).permutation(len(described))
    cut = round(settings.share * len(order))
    try:
        judged = newcomers.judge(described, labelled, order[:cut], order[cut:], run.config.seed)
    except ValueError as error:
        log.info("no classifier: %s", error)
        return metrics, None
    metrics |= {
        "classifier/accuracy": judged.accuracy,
        "classifier/majority": judged.majority,
        "classifier/neighbour": judged.neighbour,
        "classifier/brier": judged.brier,
        "classifier/calibration_error": judged.calibration_error,
    }
    return metrics, judged


def grow_trees(
    run: Run, found: Mapping[str, list[list[int]]], described: pd.DataFrame, where: str = ""
) -> dict[str, float]:
    """A tree for the largest clique of each model, written and drawn; their accuracies."""
    metrics = {}
    for name, own in found.items():
        try:
            tree = trees.fit(described, max(own, key=len, default=[]), run.config.seed)
        except ValueError as error:
            log.info("no tree for %s: %s", name, error)
            continue
        write_json(run.directory / "trees" / f"{name}.json", trees.to_json(tree, list(described.columns)))
        figure = draw_tree(tree, list(described.columns), f"{name}{where}")
        figures.save(figure, run.directory / "trees" / name)
        metrics[f"tree/{name}"] = tree.accuracy
    return metrics


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    """`iia/xy/layer_7`, `density/xy/layer_7`, `clique/xy/layer_7` and so on."""
    wanted = [name for name in table.columns if name not in ("model", "layer", "bounded clique", "proven")]
    return {
        f"{name.replace(' ', '_')}/{row['model']}/layer_{row['layer']}": float(row[name])
        for row in table.to_dict(orient="records")
        for name in wanted
    }


def _text(
    table: pd.DataFrame,
    shared: Mapping[str, pd.DataFrame],
    told: Mapping[str, float],
    nodes: int,
    layer: int,
) -> str:
    parts = [f"Graphs over {nodes} inputs\n\n{table.to_markdown(index=False, floatfmt='.3f')}\n"]
    parts += graph_tables.text(shared, f", layer {layer}")
    lines = "\n".join(f"{name}: {value:.3f}" for name, value in told.items())
    parts.append(
        f"Trees (cross-validated), labels, and the classifier on unseen inputs, layer {layer}\n\n{lines}\n"
    )
    return "\n".join(parts)
