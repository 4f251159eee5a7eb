"""What `job=disentangle` says about its graphs: densities, cliques, shared inputs, which inputs they are."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from iit_lab.analysis import cliques, faithful, features, newcomers, trees
from iit_lab.analysis.graphs import BOTH, PairGraph
from iit_lab.causal.model import Setting
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
        row, found[name, at_layer] = _describe(graph, unmoved[name, at_layer] == BOTH, agree, settings)
        rows.append({"model": name, "layer": at_layer, **row})
    table = pd.DataFrame(rows)
    here = {name: graphs[name, layer] for name in names}
    curves = {name: faithful.grow(graph.weights) for name, graph in here.items()}
    shared = _shared(here, {name: found[name, layer] for name in names}, curves, settings)
    told, judged = _told_apart(run, here, found, agree, inputs, settings, layer)
    metrics = _metrics(table) | told
    for kind in ("faithful", "prefix"):
        sizes = shared[kind].to_dict(orient="index")
        metrics |= {
            f"{kind}/{name}/{f}": float(size) for name, own in sizes.items() for f, size in own.items()
        }
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


def _describe(
    graph: PairGraph, unmoved: np.ndarray, agree: np.ndarray, settings: Settings
) -> tuple[dict[str, Any], list[list[int]]]:
    """One graph: all edges, without those there are with no intervention, without those of all models."""
    count, edges = graph.pairs, graph.edges()
    pairs = count.sum()
    row: dict[str, Any] = {
        "iia": graph.iia,
        "right without intervention": float((unmoved & count).sum() / pairs),
        "models agree": float((agree & count).sum() / pairs),
    }
    kinds = {"": edges, " moved": edges & ~unmoved, " discriminating": edges & ~agree}
    kept: list[list[int]] = []
    for kind, own in kinds.items():
        several = cliques.removed(own, settings.least_clique)
        kept = several if not kind else kept
        row |= {
            f"density{kind}": float((own & count).sum() / pairs),
            f"clique{kind}": len(cliques.greedy(own)) if own.any() else 0,
            f"cliques{kind}": len(several),
            f"nodes covered{kind}": cliques.node_coverage(several, len(graph)),
            f"edges covered{kind}": cliques.edge_coverage(several, own),
        }
    bounded = cliques.largest(edges, settings.seconds)
    row |= {"bounded clique": len(bounded.clique) if edges.any() else 0, "proven": bounded.complete}
    degrees = edges.sum(1)
    row |= {"mean degree": float(degrees.mean()), "largest degree": int(degrees.max())}
    return row, kept


def _shared(
    graphs: Mapping[str, PairGraph],
    found: Mapping[str, list[list[int]]],
    curves: Mapping[str, faithful.Curve],
    settings: Settings,
) -> dict[str, pd.DataFrame]:
    """Overlap of the models' cliques, sizes of faithful subgraphs, and what a chain of models explains."""
    names = list(graphs)
    overlaps = pd.DataFrame(
        [[cliques.overlap(found[one], found[other]) for other in names] for one in names], names, names
    )
    prefixes = {name: faithful.grow(graph.weights, "degree") for name, graph in graphs.items()}
    heads = [f"f={least}" for least in settings.faithful]
    sizes, first = (
        pd.DataFrame(
            [[len(own[name].faithful(least)) for least in settings.faithful] for name in names], names, heads
        )
        for own in (curves, prefixes)
    )
    weights = {name: graph.weights for name, graph in graphs.items()}
    chains = pd.DataFrame(
        [[len(share.nodes) for share in faithful.chain(weights, least)] for least in settings.faithful],
        heads,
        names,
    )
    return {"overlap": overlaps, "faithful": sizes, "prefix": first, "chain": chains}


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
    metrics = {}
    for name in here:
        largest = max(found[name, layer], key=len, default=[])
        try:
            tree = trees.fit(described, largest, run.config.seed)
        except ValueError as error:
            log.info("no tree for %s: %s", name, error)
            continue
        write_json(run.directory / "trees" / f"{name}.json", trees.to_json(tree, list(described.columns)))
        figure = draw_tree(tree, list(described.columns), f"{name}, layer {layer}")
        figures.save(figure, run.directory / "trees" / name)
        metrics[f"tree/{name}"] = tree.accuracy
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
    titles = {
        "overlap": f"Inputs in cliques of both, of those in either, layer {layer}",
        "faithful": f"Inputs in the largest subgraph whose mean IIA is at least f, layer {layer}",
        "prefix": f"The same of inputs in the order of their degrees, layer {layer}",
        "chain": f"Inputs that each model explains once those before it have taken theirs, layer {layer}",
    }
    parts += [f"{titles[name]}\n\n{own.to_markdown(floatfmt='.3f')}\n" for name, own in shared.items()]
    lines = "\n".join(f"{name}: {value:.3f}" for name, value in told.items())
    parts.append(
        f"Trees (cross-validated), labels, and the classifier on unseen inputs, layer {layer}\n\n{lines}\n"
    )
    return "\n".join(parts)
