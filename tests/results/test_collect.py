"""All records of a sweep in one table: which columns, in which order, with which values."""

import json

import pandas as pd
import pytest

from iit_lab.results.collect import collect, runs
from iit_lab.results.record import write_config, write_result


def config(**changes):
    """A made-up config; `alignment__layer=2` changes `alignment.layer`."""
    made = {
        "alignment": {"layer": 0, "units": None},
        "intervention": {"rank": 4, "write": {"_target_": "a.B"}},
        "job": {"batch_size": 10},
        "model": {"seed": 0},
        "requires": {"network": {"job": {"n": 1}, "task": {"x": 1}, "seed": 0, "outputs": "here"}},
        "scheduler": {},
        "seed": 0,
        "sweep": "s",
        "outputs": "outputs",
        "hardware": {"threads": 1},
        "task": {"sizes": [1, 2]},
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        node = made
        for part in path:
            node = node[part]
        node[last] = value
    return made


@pytest.fixture
def write(tmp_path):
    def write(cell, overrides=(), metrics=None, finished=True, total=1.5, **changes):
        values, folder = config(**changes), tmp_path / cell
        write_config(folder, values, list(overrides))
        if finished:
            found = {"test/iia": 0.5} if metrics is None else metrics
            write_result(folder, values, list(overrides), found, {"total": total, "fit": 1.0}, {}, [])
        return folder

    return write


@pytest.fixture(autouse=True)
def _no_git(monkeypatch):
    monkeypatch.setattr("iit_lab.results.record.code_version", dict)


def test_columns_are_cell_then_keys_then_metrics_then_time(write, tmp_path):
    for layer in (0, 1):
        typed = ["intervention.rank=4", f"alignment.layer={layer}"]
        metrics = {"test/iia/b": 0.25, "test/iia": 0.5 + layer / 4, "test/accuracy": 1.0}
        write(f"cell-{layer}", typed, metrics, total=2.0 + layer, alignment__layer=layer, model__seed=layer)
    frame = runs(tmp_path)
    keys = ["intervention.rank", "alignment.layer", "model.seed"]  # as typed; then what differs besides
    metrics = ["test/accuracy", "test/iia", "test/iia/b"]
    assert list(frame.columns) == ["cell", *keys, *metrics, "timing/total"]
    assert frame.to_numpy().tolist() == [
        ["cell-0", 4, 0, 0, 1.0, 0.5, 0.25, 2.0],
        ["cell-1", 4, 1, 1, 1.0, 0.75, 0.25, 3.0],
    ]


def test_keys_outside_the_fingerprint_are_left_out_unless_typed(write, tmp_path):
    network = {"job": {"n": 1}, "task": {"x": 1}, "seed": 3, "outputs": "there"}
    write("a", ["sweep=s", "rerun=true", "outputs=x", "hydra/launcher=joblib"])
    write("b", sweep="t", outputs="y", hardware__threads=2, requires__network=network)
    assert list(runs(tmp_path).columns) == ["cell", "requires.network.seed", "test/iia", "timing/total"]
    write("c", ["hardware.threads=2"], hardware__threads=2)
    assert (
        dict(zip("bca", [2, 2, 1], strict=True))
        == runs(tmp_path).set_index("cell")["hardware.threads"].to_dict()
    )


def test_groups_hold_what_was_typed(write, tmp_path):
    write("a", ["+experiment=x", "intervention=low_rank", "requires/network=plain", "scheduler=none"])
    write("b", ["experiment=y"], intervention__write={"_target_": "c.D"})
    frame = runs(tmp_path).set_index("cell")
    assert frame["experiment"].to_dict() == {"a": "x", "b": "y"}
    assert frame.loc["a", ["intervention", "requires.network", "scheduler"]].tolist() == [
        "low_rank",
        "plain",
        "none",
    ]
    assert pd.isna(frame.loc["b", "intervention"])
    assert frame["intervention.write._target_"].to_dict() == {"a": "a.B", "b": "c.D"}


def test_values_are_the_resolved_ones(write, tmp_path):
    write(
        "a", ["model.seed=${seed}", "task.sizes=[3]", "alignment.units='0:8'"], model__seed=7, task__sizes=[3]
    )
    frame = runs(tmp_path)
    assert frame["model.seed"].tolist() == [7]
    assert frame["task.sizes"].tolist() == ["[3]"]
    assert frame["alignment.units"].isna().all()


def test_rows_are_in_natural_order_by_the_keys(write, tmp_path):
    for layer, rank in ((10, 4), (2, 16), (2, 4), (None, 4)):
        typed = [f"alignment.layer={layer}", f"intervention.rank={rank}"]
        write(f"layer-{layer}_rank-{rank}", typed, alignment__layer=layer, intervention__rank=rank)
    frame = runs(tmp_path)
    pairs = list(zip(frame["alignment.layer"].fillna(-1), frame["intervention.rank"], strict=True))
    assert pairs == [(-1, 4), (2, 4), (2, 16), (10, 4)]
    assert isinstance(frame["alignment.layer"].iloc[1].item(), int)  # not 2.0, though one is missing


def test_equal_keys_are_ordered_by_the_cell_s_name(write, tmp_path):
    for cell in ("cell-10", "cell-2", "cell-1"):
        write(cell)
    assert runs(tmp_path)["cell"].tolist() == ["cell-1", "cell-2", "cell-10"]


def test_text_is_ordered_by_the_numbers_in_it(write, tmp_path):
    for name in ("w10", "w9", "v"):
        write(name, [f"experiment={name}"], task__sizes=name)
    assert runs(tmp_path)["experiment"].tolist() == ["v", "w9", "w10"]


def test_values_of_several_types_become_text_that_parquet_can_hold(write, tmp_path):
    for cell, value in (("a", 3), ("b", "all"), ("c", [1, 2]), ("d", None), ("e", True), ("f", 2**70)):
        write(cell, alignment__units=value)
    frame = runs(tmp_path)
    frame.to_parquet(tmp_path / "file")
    found = pd.read_parquet(tmp_path / "file").set_index("cell")["alignment.units"]
    assert found.drop("d").to_dict() == {"a": "3", "b": "all", "c": "[1, 2]", "e": "true", "f": str(2**70)}
    assert pd.isna(found["d"])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], "int64"),
        ([1, None], "Int64"),
        ([True, False], "bool"),
        ([1, 0.5], "float64"),
        (["a", None], "string"),
    ],
    ids=str,
)
def test_a_column_has_one_type(write, tmp_path, values, expected):
    for i, value in enumerate(values):
        write(str(i), alignment__units=value)
    assert str(runs(tmp_path)["alignment.units"].dtype) == expected


def test_a_key_that_is_a_value_here_and_a_node_there(write, tmp_path):
    write("a")
    write("b", ["alignment.units={x: 1}"], alignment__units={"x": 1, "y": 2})
    frame = runs(tmp_path).set_index("cell")
    assert frame.loc["b", ["alignment.units", "alignment.units.x", "alignment.units.y"]].tolist() == [
        "{x: 1}",
        1,
        2,
    ]
    assert frame.loc["a", ["alignment.units", "alignment.units.x"]].isna().all()


@pytest.mark.parametrize("owner", ["a", "b"])
def test_a_key_that_only_one_run_has(write, tmp_path, owner):
    for cell in ("a", "b"):
        write(cell, **({"task__extra": 3} if cell == owner else {}))
    found = runs(tmp_path).set_index("cell")["task.extra"]
    assert found.dropna().to_dict() == {owner: 3}


def test_metrics_that_only_some_runs_have(write, tmp_path):
    write("a", metrics={"test/iia": 0.5})
    write("b", metrics={"test/iia": 0.25, "layer_10/iia": 1.0, "layer_2/iia": 0.0})
    frame = runs(tmp_path)
    assert list(frame.columns) == ["cell", "layer_2/iia", "layer_10/iia", "test/iia", "timing/total"]
    assert frame["layer_2/iia"].isna().tolist() == [True, False]


def test_unfinished_cells_are_counted(write, tmp_path):
    write("a")
    write("b", finished=False)
    write("c", finished=False)
    found = collect(tmp_path)
    assert (len(found.frame), found.unfinished, found.problems) == (1, 2, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version=99"),
        ({"metrics": {"test/iia": "high"}}, "result.json: metrics: not what"),
        ({"metrics": [1]}, "result.json: metrics: not what"),
        ({"config": None}, "result.json: config: not what"),
        ({"overrides": "seed=1"}, "result.json: overrides: not what"),
        ({"overrides": [1]}, "result.json: overrides: not what"),
        ({"timing": {"total": "long"}}, "result.json: timing: not what"),
    ],
    ids=str,
)
def test_a_record_that_is_none_is_reported_and_the_others_read(write, tmp_path, change, message):
    write("good", metrics={"test/iia": 0.75})
    path = write("aaa", seed=1) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = collect(tmp_path)
    assert found.frame["test/iia"].tolist() == [0.75]
    assert "seed" not in found.frame
    assert len(found.problems) == 1 and message in found.problems[0] and "aaa" in found.problems[0]


@pytest.mark.parametrize("text", ["", '{"a": 1', "[]", "a\nb"])
def test_a_record_cut_short_is_one_line(write, tmp_path, text):
    write("good")
    (write("bad") / "result.json").write_text(text)
    found = collect(tmp_path)
    assert len(found.frame) == len(found.problems) == 1
    assert "bad" in found.problems[0] and "\n" not in found.problems[0]


def test_an_empty_sweep(tmp_path):
    found = collect(tmp_path)
    assert found.frame.empty and list(found.frame.columns) == ["cell", "timing/total"]
    assert (found.problems, found.unfinished) == ([], 0)
