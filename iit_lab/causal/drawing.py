"""A causal model as a figure."""

import networkx as nx
from matplotlib.figure import Figure

from iit_lab.causal.model import CausalModel

COLOURS = {"input": "#d9e2ec", "inner": "#ffd591", "output": "#b7eb8f"}


def draw(model: CausalModel, highlighted: tuple[str, ...] = ()) -> Figure:
    """The graph from inputs (bottom) to output (top); `highlighted` variables get a thick border."""
    graph = model.graph()
    for depth, names in enumerate(nx.topological_generations(graph)):
        for name in names:
            graph.nodes[name]["depth"] = depth
    layout = nx.multipartite_layout(graph, subset_key="depth", align="horizontal")
    widest = max(len(list(names)) for names in nx.topological_generations(graph))
    figure = Figure(figsize=(2.0 + 1.9 * widest, 1.0 + 1.3 * nx.dag_longest_path_length(graph) + 1.0))
    axes = figure.add_subplot()
    nx.draw_networkx_edges(graph, layout, ax=axes, edge_color="#829ab1", node_size=2600, arrowsize=16)
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
