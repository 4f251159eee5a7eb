"""Tables of papers from hand-made records, with hand-computed numbers."""

import json
from pathlib import Path

import pytest

from iit_lab.results.paper import PaperTable, entries
from iit_lab.results.paper_text import caption, draw, frame, missing, numbers, outside
from iit_lab.results.record import read_result, write_config, write_result

ROWS = [
    {"label": "both", "run": "a", "where": {"rank": 2}, "published": [0.9, None]},
    {"label": "both, best", "run": "a", "where": {"rank": 2}, "published": [0.9, 0.4], "statistic": "max"},
    {"label": "control", "run": "a", "where": {"rank": 4}, "metric": "control/x/iia", "tolerance": 0.5,
     "published": [0.1, None]},
]  # fmt: skip
COLUMNS = [{"label": "first", "where": {"at.layer": 0}}, {"label": "second", "where": {"at.layer": 1}}]
FOUND = {  # (layer, rank, seed): test/iia
    (0, 2, 0): 0.8,
    (0, 2, 1): 0.6,
    (1, 2, 0): 0.5,
    (0, 4, 0): 0.3,
}


def table(**changes) -> PaperTable:
    given = {
        "name": "t",
        "caption": "What.",
        "source": "a paper",
        "runs": {"a": {"overrides": ["experiment=x"], "seeds": [0, 1]}},
        "rows": ROWS,
        "columns": COLUMNS,
    }
    return PaperTable(**{**given, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for (layer, rank, seed), value in FOUND.items():
        config = {"at": {"layer": layer}, "rank": rank, "seed": seed, "model": {"seed": seed}, "name": "n"}
        cell = tmp_path / f"{layer}-{rank}-{seed}"
        write_config(cell, config, [])
        metrics = {"test/iia": value, "control/x/iia": value / 2}
        write_result(cell, config, [], metrics, {}, {}, [])
    return tmp_path


def test_numbers_by_hand(folder):
    found = entries(table(), {"a": folder})
    shown = frame(table(), found)
    assert shown.to_numpy().tolist() == [
        ["0.700 ± 0.141 (0.900) !", "0.500"],
        ["0.800 ± 0.141 (0.900) !", "0.500 (0.400) !"],
        ["0.150 (0.100)", "-"],
    ]
    assert list(shown.index) == ["both", "both, best", "control"]
    assert [entry.within for entry in found] == [False, None, False, False, True, None]
    assert outside(found)[0] == "both, first: 0.700, published 0.900, tolerance 0.050"
    assert missing(found) == ["control, second"]
    rows = numbers(found).to_dict("records")
    assert (rows[0]["min"], rows[0]["median"], rows[0]["max"], rows[0]["runs"]) == (0.6, 0.7, 0.8, 2)
    assert "over 1 to 2 runs" in caption(table(), found)
    assert len(draw(table(), found).axes[0].get_legend().get_texts()) == 3


def test_the_tolerance_is_inclusive(folder):
    near = [{"label": "near", "run": "a", "where": {"rank": 2}, "published": [0.75, 0.45]}]
    assert [entry.within for entry in entries(table(rows=near), {"a": folder})] == [True, True]


def test_a_grid_counts_as_the_cells_inside_it(folder, tmp_path_factory):
    sweep = tmp_path_factory.mktemp("sweep")
    grid = sweep / "grid"
    write_config(grid, {"seed": 0}, [])
    folder.rename(grid / "cells")
    assert [entry.ours for entry in entries(table(), {"a": sweep})][:2] == pytest.approx([0.7, 0.5])


def test_no_runs_are_no_error(tmp_path):
    found = entries(table(), {"a": tmp_path / "none"})
    assert frame(table(), found).to_numpy().tolist()[0] == ["- (0.900)", "-"]
    assert len(missing(found)) == 6 and not outside(found)
    draw(table(), found)


def test_runs_that_differ_in_something_else_are_not_averaged(folder):
    loose = [{"label": "any rank", "run": "a"}]
    with pytest.raises(ValueError, match=r"rows\[0\], columns\[0\]: fits runs that differ in \['rank'\]"):
        entries(table(rows=loose), {"a": folder})


def test_runs_may_be_averaged_over_more_than_seeds(folder):
    loose = [{"label": "any rank", "run": "a"}]
    found = entries(table(rows=loose, over=["seed", "rank"]), {"a": folder})[0]
    kept = [read_result(path.parent) for path in sorted(folder.glob("*/result.json"))]
    values = [each["metrics"]["test/iia"] for each in kept if each["config"]["at"]["layer"] == 0]
    assert sorted(found.values) == sorted(values) and len(values) > 2


def test_names_fill_a_metric(folder):
    """What a row names is put into the metric of the table, over what the column names."""
    columns = [{"label": "first", "where": {"at.layer": 0}, "names": {"what": "y", "of": "control"}}]
    rows = [
        {"label": "plain", "run": "a", "where": {"rank": 4}, "names": {"of": "test", "what": "iia"}},
        {"label": "control", "run": "a", "where": {"rank": 4}, "names": {"what": "x/iia"}},
    ]
    found = entries(table(rows=rows, columns=columns, metric="{of}/{what}"), {"a": folder})
    assert [entry.values for entry in found] == [(0.3,), (0.15,)]
    with pytest.raises(
        ValueError, match=r"rows\[0\], columns\[0\].metric=\{nothing\}: 'nothing' is not in names"
    ):
        entries(table(rows=rows, columns=columns, metric="{nothing}"), {"a": folder})


def test_an_unknown_metric_is_named(folder):
    wrong = [{"label": "r", "run": "a", "where": {"rank": 2}, "metric": "test/foo"}]
    with pytest.raises(ValueError, match=r"metric=test/foo: the runs have \['control/x/iia', 'test/iia'\]"):
        entries(table(rows=wrong), {"a": folder})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [{"label": "r", "run": "b"}]}, r"rows\[0\]\.run=b: the table has runs \['a'\]"),
        ({"rows": [{"label": "r"}]}, r"rows\[0\]\.run=None: the table has runs"),
        (
            {"rows": [{"label": "r", "run": "a", "published": [1.0]}]},
            r"rows\[0\]\.published=\[1\.0\]: there are 2 columns",
        ),
        ({"rows": [{"label": "r", "run": "a", "wher": {}}]}, r"rows\[0\]=.*: has \['label'"),
        ({"rows": [{"run": "a"}]}, r"rows\[0\]=.*label"),
        ({"rows": [{"label": "r", "run": "a", "statistic": "mode"}]}, "statistic=mode: one of"),
        ({"runs": {"a": {"overrides": []}}}, "runs.a=.*seeds"),
    ],
)
def test_tables_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        table(**changes)


def test_published_numbers_of_the_thesis_are_the_graphs(tmp_path):
    """The yaml's rows are as many as its columns, and hold what the thesis's graphs gave."""
    from omegaconf import OmegaConf

    from iit_lab.config import conf_dir

    given = OmegaConf.to_container(OmegaConf.load(conf_dir() / "table" / "thesis_layers.yaml"))
    assert isinstance(given, dict)
    made = PaperTable(**{key: value for key, value in given.items() if key != "_target_"})
    published = [row.published for row in made.rows if row.published]
    assert [len(row) for row in published] == [12, 12, 12]
    assert [row[0] for row in published] == [0.964, 0.968, 0.949]
    assert json.dumps([row[11] for row in published]) == "[0.12, 0.107, 0.152]"
