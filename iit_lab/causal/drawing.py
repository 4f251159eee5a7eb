"""A causal model as a figure."""

import networkx as nx
from matplotlib.figure import Figure

from iit_lab.causal.model import CausalModel

COLOURS = {"input": "#d9e2ec", "inner": "#ffd591", "output": "#b7eb8f"}


def draw(model: CausalModel, highlighted: tuple[str, ...] = ()) -> Figure:
    """The graph from inputs (bottom) to output (top); `highlighted` variables get a thick border."""
    graph = model.graph()
    layout = _layout(graph)
    width, height = (1 + max(position[axis] for position in layout.values()) for axis in (0, 1))
    figure = Figure(figsize=(1.0 + 1.9 * width, 1.0 + 1.3 * height))
    axes = figure.add_subplot()
    nx.draw_networkx_edges(graph, layout, ax=axes, edge_color="#829ab1", node_size=1500, arrowsize=16)
    for name, (x, y) in layout.items():
        box = {
            "boxstyle": "round,pad=0.5",
            "facecolor": COLOURS[graph.nodes[name]["role"]],
            "edgecolor": "#243b53",
            "linewidth": 2.5 if name in highlighted else 0.8,
        }
        axes.text(x, y, name.replace("_", "\n"), ha="center", va="center", fontsize=10, bbox=box)
    axes.margins(0.2)
    axes.axis("off")
    return figure


def _layout(graph: nx.DiGraph) -> dict[str, tuple[float, float]]:
    """One row per depth: inputs in the order given, any other variable over the middle of its parents."""
    rows = [list(names) for names in nx.topological_generations(graph)]
    widest = max(len(names) for names in rows)
    layout: dict[str, tuple[float, float]] = {}
    for depth, names in enumerate(rows):

        def middle(name: str) -> float:
            parents = [layout[parent][0] for parent in graph.predecessors(name)]
            return sum(parents) / len(parents) if parents else 0.0

        for i, name in enumerate(sorted(names, key=middle)):
            layout[name] = ((i + 0.5) * widest / len(names) - 0.5, float(depth))
    return layout
