"""The figure shows the graph: every variable, inputs below, what is intervened in standing out."""

import networkx as nx
import pytest
from matplotlib.colors import to_hex

from iit_lab.causal.drawing import COLOURS, draw
from iit_lab.tasks.hierarchical_equality import HYPOTHESES


def boxes(model, highlighted=()):
    texts = draw(model, highlighted).axes[0].texts
    return {text.get_text().replace("\n", "_"): text for text in texts}


@pytest.mark.parametrize("name", HYPOTHESES)
def test_every_variable_stands_above_its_parents(name):
    model = HYPOTHESES[name][0]()
    found = boxes(model)
    assert set(found) == set(model.graph())
    for parent, child in model.graph().edges:
        assert found[parent].get_position()[1] < found[child].get_position()[1]


@pytest.mark.parametrize("name", HYPOTHESES)
def test_no_two_variables_lie_on_each_other(name):
    model = HYPOTHESES[name][0]()
    places = {text.get_position() for text in boxes(model).values()}
    assert len(places) == nx.number_of_nodes(model.graph())


def test_there_is_an_arrow_per_edge():
    model = HYPOTHESES["equality"][0]()
    assert len(draw(model).axes[0].patches) == nx.number_of_edges(model.graph())


def test_highlighted_variables_have_a_thicker_border():
    found = boxes(HYPOTHESES["equality"][0](), ("left_equality",))
    widths = {name: text.get_bbox_patch().get_linewidth() for name, text in found.items()}
    thick = widths.pop("left_equality")
    assert all(width < thick for width in widths.values())


def test_inputs_inner_variables_and_the_output_differ_in_colour():
    found = boxes(HYPOTHESES["equality"][0]())
    colours = [
        to_hex(found[name].get_bbox_patch().get_facecolor()) for name in ("a", "left_equality", "same")
    ]
    assert colours == [COLOURS["input"], COLOURS["inner"], COLOURS["output"]]
