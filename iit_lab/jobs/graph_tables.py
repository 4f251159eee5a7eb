"""Numbers about disentangling graphs: densities, cliques, faithful subgraphs, what several models share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from iit_lab.analysis import cliques, faithful
from iit_lab.analysis.graphs import PairGraph
from iit_lab.config import ConfigError
from iit_lab.jobs.disentangle_settings import GraphSettings

TITLES = {
    "overlap": "Inputs in cliques of both, of those in either",
    "faithful": "Inputs in the largest subgraph whose mean IIA is at least f",
    "prefix": "The same of inputs in the order of their degrees",
    "chains": "Inputs that each model explains once those before it have taken theirs",
}
AFTER = " > "


def describe(
    graph: PairGraph, without: Mapping[str, np.ndarray], settings: GraphSettings
) -> tuple[dict[str, Any], list[list[int]]]:
    """One graph: of all its edges, and of those that are left without some.

    Args:
        graph: of one causal model at one place.
        without: masks of pairs whose edges are left out, by a word for what is left.
        settings: see there.

    Returns:
        Numbers by name, and the cliques among all edges, largest first.
    """
    count, edges = graph.pairs, graph.edges()
    pairs = count.sum()
    row: dict[str, Any] = {"iia": graph.iia}
    kept: list[list[int]] = []
    for kind, left_out in {"": np.zeros_like(edges), **without}.items():
        own = edges & ~left_out
        several = cliques.removed(own, settings.least_clique)
        kept = several if not kind else kept
        end = f" {kind}" if kind else ""
        row |= {
            f"density{end}": float((own & count).sum() / pairs),
            f"clique{end}": len(cliques.greedy(own)) if own.any() else 0,
            f"cliques{end}": len(several),
            f"nodes covered{end}": cliques.node_coverage(several, len(graph)),
            f"edges covered{end}": cliques.edge_coverage(several, own),
        }
    bounded = cliques.largest(edges, settings.seconds)
    row |= {"bounded clique": len(bounded.clique) if edges.any() else 0, "proven": bounded.complete}
    degrees = edges.sum(1)
    row |= {"mean degree": float(degrees.mean()), "largest degree": int(degrees.max())}
    return row, kept


def curves(graphs: Mapping[str, PairGraph], settings: GraphSettings) -> dict[str, faithful.Curve]:
    """The faithful subgraphs of each model.

    Raises:
        ConfigError: for an excluded input that is not there, or if too few are left.
    """
    nodes = len(next(iter(graphs.values())))
    if wrong := [node for node in settings.exclude if not 0 <= node < nodes]:
        raise ConfigError(f"job.settings.exclude={wrong}: inputs are numbered from 0 to {nodes - 1}")
    try:
        return {
            name: faithful.grow(graph.weights, exclude=settings.exclude) for name, graph in graphs.items()
        }
    except ValueError as error:
        raise ConfigError(f"job.settings.{error}") from None


def shared(
    graphs: Mapping[str, PairGraph],
    found: Mapping[str, list[list[int]]],
    grown: Mapping[str, faithful.Curve],
    settings: GraphSettings,
) -> dict[str, pd.DataFrame]:
    """What `TITLES` names.

    Args:
        graphs: of several models over the same inputs.
        found: the cliques of each.
        grown: see `curves`.
        settings: see there.
    """
    names = list(graphs)
    overlaps = pd.DataFrame(
        [[cliques.overlap(found[one], found[other]) for other in names] for one in names], names, names
    )
    prefixes = {
        name: faithful.grow(graph.weights, "degree", settings.exclude) for name, graph in graphs.items()
    }
    heads = [f"f={least}" for least in settings.faithful]
    sizes, first = (
        pd.DataFrame(
            [[len(own[name].faithful(least)) for least in settings.faithful] for name in names], names, heads
        )
        for own in (grown, prefixes)
    )
    return {"overlap": overlaps, "faithful": sizes, "prefix": first, "chains": chains(graphs, settings)}


def chains(graphs: Mapping[str, PairGraph], settings: GraphSettings) -> pd.DataFrame:
    """A row for each chain of models and each f: how many inputs each model takes, and all of them.

    Raises:
        ConfigError: for a chain of other models.
    """
    wanted: Sequence[Sequence[str]] = [list(graphs)] if settings.chains is None else settings.chains
    rows = []
    for names in wanted if len(graphs) > 1 else []:
        if len(names) < 2 or len(set(names)) != len(names) or not set(names) <= set(graphs):
            raise ConfigError(f"job.settings.chains={list(names)}: two or more of {list(graphs)}, each once")
        weights = {name: graphs[name].weights for name in names}
        for least in settings.faithful:
            takes = {each.model: len(each.nodes) for each in faithful.chain(weights, least, settings.exclude)}
            rows.append({"chain": AFTER.join(names), "f": least, **takes, "all": sum(takes.values())})
    columns = ["chain", "f", *graphs, "all"]
    return pd.DataFrame(rows, columns=columns).set_index("chain")


def text(tables: Mapping[str, pd.DataFrame], where: str = "") -> list[str]:
    """Each table with its title, in Markdown; nothing for one without rows."""
    return [
        f"{TITLES[name]}{where}\n\n{own.to_markdown(floatfmt='.3f')}\n"
        for name, own in tables.items()
        if len(own)
    ]


def sizes(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Metrics of faithful subgraphs: `faithful/xy/f=0.95`, `prefix/xy/f=0.95`."""
    return {
        f"{kind}/{name}/{f}": float(size)
        for kind in ("faithful", "prefix")
        for name, own in tables[kind].to_dict(orient="index").items()
        for f, size in own.items()
    }
