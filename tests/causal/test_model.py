import networkx as nx
import pytest
import torch

from iit_lab.causal.drawing import draw
from iit_lab.causal.model import CausalModel, Variable

A, B, C = (Variable(name) for name in "abc")
SUM = Variable("sum", ("a", "b"), torch.add)
OUT = Variable("out", ("sum", "c"), torch.mul)


@pytest.fixture
def model() -> CausalModel:
    """out = (a + b) * c, given in no particular order."""
    return CausalModel([OUT, C, SUM, B, A], "out")


def setting(**values) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


BASE = setting(a=[1, 2, 3], b=[10, 20, 30], c=[2, 3, 4])
OTHER = setting(a=[5, 5, 5], b=[0, 1, 2], c=[7, 8, 9])


def test_run_by_hand(model):
    values = model.run(BASE)
    assert values["sum"].tolist() == [11, 22, 33]
    assert values["out"].tolist() == [22, 66, 132]


def test_interchange_by_hand(model):
    assert model.interchange(BASE, OTHER, ["sum"])["out"].tolist() == [5 * 2, 6 * 3, 7 * 4]


def test_each_variable_has_its_own_source(model):
    sources = {"sum": OTHER, "c": BASE}
    assert model.interchange(OTHER, sources, ["sum", "c"])["out"].tolist() == [5 * 2, 6 * 3, 7 * 4]


def test_rows_may_fix_different_variables(model):
    intervened = torch.tensor([[True, False], [False, True], [False, False]])
    out = model.interchange(BASE, OTHER, ["sum", "c"], intervened)["out"]
    assert out.tolist() == [5 * 2, 22 * 8, 33 * 4]


def test_an_upstream_interchange_is_overruled_downstream(model):
    out = model.interchange(BASE, {"a": OTHER, "sum": BASE}, ["a", "sum"])["out"]
    assert out.tolist() == model.run(BASE)["out"].tolist()


def test_against_a_loop_over_examples(model):
    generator = torch.Generator().manual_seed(0)
    base, source = (
        {name: torch.randint(100, (50,), generator=generator) for name in "abc"} for _ in range(2)
    )
    expected = [(source["a"][i] + source["b"][i]).item() * base["c"][i].item() for i in range(50)]
    assert model.interchange(base, source, ["sum"])["out"].tolist() == expected


def test_inputs_and_inner_variables(model):
    assert set(model.inputs) == {"a", "b", "c"}
    assert model.inner == ("sum",)


@pytest.mark.parametrize(
    ("variables", "output", "message"),
    [
        ([A, B, SUM, A], "sum", r"variables=\['a'\]: each name may stand for one variable only"),
        ([A, SUM], "sum", r"sum.parents=\['b'\]: the causal model has"),
        ([A, B, SUM], "product", "output=product: the causal model has"),
        (
            [Variable("x", ("y",), torch.neg), Variable("y", ("x",), torch.neg)],
            "x",
            "the graph has a cycle: ",
        ),
        ([A, Variable("x", ("a",))], "x", "x: an input has neither parents nor a mechanism"),
        ([Variable("x", (), torch.neg)], "x", "x: an input has neither parents nor a mechanism"),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused(variables, output, message):
    with pytest.raises(ValueError, match=message):
        CausalModel(variables, output)


def test_a_missing_input_is_named(model):
    with pytest.raises(ValueError, match=r"setting: no value for \['c'\]"):
        model.run(setting(a=[1], b=[2]))


def test_batches_must_agree(model):
    with pytest.raises(ValueError, match="does not begin with the batch"):
        model.run(setting(a=[1, 2], b=[1, 2], c=[1]))


def test_unknown_variable_and_missing_source(model):
    with pytest.raises(ValueError, match="variables=product: the causal model has"):
        model.interchange(BASE, OTHER, ["product"])
    with pytest.raises(ValueError, match="sources: none for variable c"):
        model.interchange(BASE, {"sum": OTHER}, ["sum", "c"])


def test_a_source_of_another_shape_is_refused(model):
    with pytest.raises(ValueError, match="sum: its source value has shape"):
        model.interchange(BASE, setting(a=[1], b=[1], c=[1]), ["sum"])


def test_export_to_networkx(model):
    graph = model.graph()
    assert nx.is_directed_acyclic_graph(graph)
    assert set(graph.edges) == {("a", "sum"), ("b", "sum"), ("sum", "out"), ("c", "out")}
    assert nx.get_node_attributes(graph, "role")["sum"] == "inner"


def test_drawing_shows_every_variable(model):
    texts = {text.get_text() for text in draw(model, ("sum",)).axes[0].texts}
    assert texts == {"a", "b", "c", "sum", "out"}
