"""Means over seeds, and tables of them, against numbers worked out elsewhere."""

import random
from statistics import mean, stdev

import pandas as pd
import pytest

from iit_lab.results.groups import summarise
from iit_lab.results.tables import pivot, to_latex, to_markdown

LAYER, RANK = "alignment.layer", "intervention.rank"


def table(rows, **columns):
    """Runs of layer, rank, seed, IIA, with further columns of one value each or a list."""
    data = {name: [row[i] for row in rows] for i, name in enumerate((LAYER, RANK, "seed"))}
    data |= columns | {"test/iia": [row[3] for row in rows], "timing/total": [1.0] * len(rows)}
    return pd.DataFrame({"cell": [f"cell-{i}" for i in range(len(rows))], **data})


SIX = table([(2, 4, 0, 0.5), (2, 4, 1, 0.75), (2, 16, 0, 0.25), (10, 4, 0, 1.0), (10, 4, 1, 1.0)])


def test_summary_by_hand():
    found = summarise(SIX)
    assert list(found.columns) == [LAYER, RANK, "test/iia/mean", "test/iia/std", "runs"]
    assert found[[LAYER, RANK, "runs"]].to_numpy().tolist() == [[2, 4, 2], [2, 16, 1], [10, 4, 2]]
    assert found["test/iia/mean"].tolist() == [0.625, 0.25, 1.0]
    assert found["test/iia/std"][0] == pytest.approx(0.125 * 2**0.5)  # a sample's: n - 1
    assert pd.isna(found["test/iia/std"][1])
    assert found["test/iia/std"][2] == 0


def test_summary_against_the_standard_library():
    generator = random.Random(0)
    rows = [(i, j, s, generator.random()) for i in range(4) for j in range(3) for s in range(5)]
    generator.shuffle(rows)
    found = summarise(table(rows, **{"test/accuracy": [1 - row[3] for row in rows]})).set_index([LAYER, RANK])
    assert len(found) == 12
    for pair, line in found.iterrows():
        values = [row[3] for row in rows if row[:2] == pair]
        assert line["test/iia/mean"] == pytest.approx(mean(values))
        assert line["test/iia/std"] == pytest.approx(stdev(values))
        assert line["test/accuracy/mean"] == pytest.approx(1 - mean(values))
        assert line["runs"] == 5


def test_every_kind_of_seed_is_averaged_over():
    frame = SIX.assign(**{"model.seed": range(5), "requires.network.seed": range(5), "seedling": 1})
    found = summarise(frame)
    assert list(found.columns[:3]) == [LAYER, RANK, "seedling"]
    assert found["runs"].tolist() == [2, 1, 2]
    assert len(summarise(frame, over=("model.seed", "requires.network.seed"))) == 5
    assert len(summarise(frame, over=("seed", "rank"))) == 2


def test_summary_of_seeds_alone_and_of_nothing():
    alone = SIX[["cell", "seed", "test/iia", "timing/total"]]
    assert summarise(alone).to_numpy().tolist() == [[0.7, pytest.approx(stdev(SIX["test/iia"])), 5]]
    assert summarise(alone[:1])["runs"].tolist() == [1]
    assert summarise(alone[:0]).empty


def test_summary_keeps_runs_without_a_value():
    frame = SIX.assign(extra=pd.array(["a", None, None, None, "a"], dtype="string"))
    assert summarise(frame)["runs"].sum() == 5


def test_pivot_by_hand():
    found = pivot(SIX, "layer", "rank", "test/iia")
    assert (found.index.name, found.columns.name) == (LAYER, RANK)
    assert (found.index.tolist(), found.columns.tolist()) == ([2, 10], [4, 16])
    assert found.to_numpy().tolist() == [["0.625 ± 0.177", "0.250"], ["1.000 ± 0.000", "-"]]
    assert pivot(SIX, LAYER, RANK, "test/iia").equals(found)


def test_rows_and_columns_are_in_natural_order_whatever_the_runs_are():
    rows = [(layer, rank, 0, 0.5) for layer in (10, 2) for rank in ("w10", "w9")]
    found = pivot(table(rows), "layer", "rank", "test/iia")
    assert (found.index.tolist(), found.columns.tolist()) == ([2, 10], ["w9", "w10"])


def test_a_run_without_the_key_or_the_metric():
    frame = SIX.assign(**{LAYER: pd.array([2, 2, 2, None, None], dtype="Int64")})
    frame.loc[2, "test/iia"] = None
    found = pivot(frame, "layer", "rank", "test/iia")
    assert found.index.tolist() == ["-", 2]
    assert found.to_numpy().tolist() == [["1.000 ± 0.000", "-"], ["0.625 ± 0.177", "-"]]


@pytest.mark.parametrize(
    ("rows", "columns", "metric", "message"),
    [
        (
            "lyer",
            "rank",
            "test/iia",
            f"^rows=lyer: no such key .*; there are: {LAYER}, {RANK}, seed, a.lr, b.lr$",
        ),
        ("layer", "rnk", "test/iia", f"^columns=rnk: no such key .*; there are: {LAYER}, "),
        ("ayer", "rank", "test/iia", "^rows=ayer: no such key"),
        ("layer", "lr", "test/iia", "^columns=lr: stands for several keys; there are: a.lr, b.lr$"),
        ("layer", LAYER, "test/iia", f"^columns={LAYER}: is what rows are"),
        ("layer", "rank", "iia", "^metric=iia: there is no such metric; there are: test/iia$"),
        ("layer", "rank", "timing/total", "^metric=timing/total: there is no such metric"),
        ("cell", "rank", "test/iia", "^rows=cell: no such key"),
    ],
)
def test_names_that_stand_for_nothing_or_for_several(rows, columns, metric, message):
    with pytest.raises(ValueError, match=message):
        pivot(SIX.assign(**{"a.lr": 1, "b.lr": 2}), rows, columns, metric)


def test_a_full_name_is_not_ambiguous():
    frame = SIX.assign(**{"model.seed": 1})
    assert pivot(frame, "seed", "layer", "test/iia", where={"rank": 4}).index.name == "seed"


VARIED = table(
    [(0, 4, seed, 0.1 * lr + seed) for lr in (1, 3) for seed in (0, 1)],
    **{"optimizer.lr": [0.1, 0.1, 0.3, 0.3]},
)


def test_nothing_else_is_averaged_over_in_silence():
    with pytest.raises(
        ValueError, match=r"^where={}: .*also differ in optimizer.lr \(0.1, 0.3\): fix these with"
    ):
        pivot(VARIED, "layer", "rank", "test/iia")
    assert pivot(VARIED, "layer", "rank", "test/iia", where={"lr": 0.1}).iloc[0, 0] == "0.600 ± 0.707"
    assert pivot(VARIED, "layer", "lr", "test/iia").to_numpy().tolist() == [
        ["0.600 ± 0.707", "0.800 ± 0.707"]
    ]
    assert pivot(VARIED, "layer", "rank", "test/iia", over=("seed", "lr")).iloc[0, 0] == "0.700 ± 0.589"


def test_what_goes_with_rows_and_columns_is_no_obstacle():
    frame = SIX.assign(**{"intervention._target_": [f"kind-{rank}" for rank in SIX[RANK]]})
    assert pivot(frame, "layer", "rank", "test/iia").equals(pivot(SIX, "layer", "rank", "test/iia"))


def test_a_run_without_the_metric_is_no_obstacle():
    frame = VARIED.copy()
    frame.loc[2:, "test/iia"] = None
    assert pivot(frame, "layer", "rank", "test/iia").iloc[0, 0] == "0.600 ± 0.707"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"layer": 7}, f"^where.layer=7: no run is left; {LAYER} has: 2, 10$"),
        ({"layer": 10, "rank": 16}, f"^where.rank=16: no run is left; {RANK} has: 4$"),
        ({"lyer": 2}, "^where=lyer: no such key"),
    ],
    ids=str,
)
def test_a_filter_that_leaves_nothing(where, message):
    with pytest.raises(ValueError, match=message):
        pivot(SIX, "layer", "rank", "test/iia", where=where)


def test_filters_of_every_type():
    kinds = pd.DataFrame(
        {
            "number": [1.0, 2.0, 2.0, 2.0, 2.0],
            "flag": [True, False, False, False, False],
            "text": pd.array(["[1, 2]", "all", "all", None, None], dtype="string"),
        }
    )
    frame = pd.concat([SIX, kinds], axis=1)
    for where in ({"number": 1}, {"flag": True}, {"text": [1, 2]}):
        assert pivot(frame, "layer", "rank", "test/iia", where=where).to_numpy().tolist() == [["0.500"]]
    assert pivot(frame, "layer", "rank", "test/iia", where={"text": None}).index.tolist() == [10]


def test_markdown():
    lines = to_markdown(pivot(SIX, "layer", "rank", "test/iia"), "IIA").splitlines()
    assert lines[:2] == ["IIA", ""]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells[0] == [f"{LAYER} \\ {RANK}", "4", "16"]
    assert cells[2:] == [["2", "0.625 ± 0.177", "0.250"], ["10", "1.000 ± 0.000", "-"]]


def test_a_bar_does_not_end_a_markdown_cell():
    frame = SIX.assign(**{LAYER: "a|b"})
    text = to_markdown(pivot(frame, "layer", "rank", "test/iia", over=("seed", "layer")), "c")
    assert "| a\\|b " in text


def test_latex():
    frame = SIX.rename(columns={LAYER: "a_b.layer"}).replace({4: "50%"})
    lines = [
        line.strip() for line in to_latex(pivot(frame, "layer", "rank", "test/iia"), "x_y & $z").splitlines()
    ]
    assert r"\caption{x\_y \& \$z}" in lines
    assert r"\begin{tabular}{lrr}" in lines
    assert [lines.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"intervention.rank & 16 & 50\% \\" in lines
    assert r"a\_b.layer &  &  \\" in lines
    assert r"2 & 0.250 & 0.625 $\pm$ 0.177 \\" in lines
    assert r"10 & - & 1.000 $\pm$ 0.000 \\" in lines


def test_every_special_character_of_latex():
    table = pd.DataFrame(
        [[r"\&%$#_{}~^±"]], index=pd.Index(["i"], name="r"), columns=pd.Index(["c"], name="k")
    )
    expected = r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}$\pm$"
    assert f"i & {expected} \\\\" in to_latex(table, "")
