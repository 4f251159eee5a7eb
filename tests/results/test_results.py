"""Records, released weights, and files that are whole or not there."""

import json

import pytest
import torch
from torch import nn

from iit_lab.results import artefacts
from iit_lab.results.files import read_json, replacing, write_json
from iit_lab.results.record import fingerprint, read_result, versions, write_result

CONFIG = {"seed": 0, "task": {"_target_": "a.B"}, "job": {"n": 1}, "hardware": {"threads": 1}, "name": "x"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_the_old_file_goes_on_reading_it(tmp_path):
    write_json(tmp_path / "file.json", {"a": "old"})
    with (tmp_path / "file.json").open() as old:
        write_json(tmp_path / "file.json", {"a": "new"})
        assert json.load(old) == {"a": "old"}
    assert read_json(tmp_path / "file.json") == {"a": "new"}


def test_others_may_read_what_was_written(tmp_path):
    write_json(tmp_path / "file.json", {})
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == 0o644


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "deep" / "file.json", {"b": 1, "a": [0.1]})
    assert read_json(tmp_path / "deep" / "file.json") == {"a": [0.1], "b": 1}


@pytest.mark.parametrize("text", ['{"a": 1', "", "[1]", "\x00\xff"])
def test_json_that_is_cut_short_is_named(tmp_path, text):
    (tmp_path / "file.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="file.json: "):
        read_json(tmp_path / "file.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="metrics .'test/iia'. are not finite"):
        write_result(tmp_path, CONFIG, [], {"test/iia": value}, {}, {}, [])
    with pytest.raises(ValueError):
        write_json(tmp_path / "file.json", {"a": value})
    assert not list(tmp_path.iterdir())


def test_a_result_is_read_back(tmp_path):
    write_result(tmp_path, CONFIG, ["seed=0"], {"test/iia": 0.5}, {"total": 1.0}, {"a": "b"}, ["note"])
    found = read_result(tmp_path)
    assert found["metrics"] == {"test/iia": 0.5}
    assert found["versions"] == versions()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version=2, this iit_lab reads 1"),
        ({"metrics": None}, "lacks .'metrics'."),
    ],
)
def test_a_result_of_another_kind_is_refused(tmp_path, change, message):
    write_result(tmp_path, CONFIG, [], {}, {}, {}, [])
    data = json.loads((tmp_path / "result.json").read_text()) | change
    data = {key: value for key, value in data.items() if value is not None}
    (tmp_path / "result.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        read_result(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"hardware": {"threads": 2}},
        {"logger": {"csv": {}}},
        {"callbacks": {"a": 1}},
        {"name": "y"},
        {"outputs": "/elsewhere"},
        {"tags": ["t"]},
        {"sweep": "s"},
        {"rerun": True},
        {"optimized_metric": "test/iia"},
    ],
    ids=str,
)
def test_what_changes_no_number_is_not_in_the_fingerprint(change):
    assert fingerprint(CONFIG | change) == fingerprint(CONFIG)
    nested = {"requires": {"network": CONFIG}}
    assert fingerprint({"requires": {"network": CONFIG | change}}) == fingerprint(nested)


def test_the_order_of_keys_is_not_in_the_fingerprint():
    assert fingerprint(dict(reversed(CONFIG.items()))) == fingerprint(CONFIG)


@pytest.mark.parametrize("change", [{"seed": 1}, {"job": {"n": 2}}, {"task": {"_target_": "a.C"}}], ids=str)
def test_what_changes_numbers_is(change):
    assert fingerprint(CONFIG | change) != fingerprint(CONFIG)
    nested = {"requires": {"network": CONFIG}}
    assert fingerprint({"requires": {"network": CONFIG | change}}) != fingerprint(nested)


def test_weights_are_read_back_bit_for_bit(tmp_path):
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    artefacts.save(tmp_path, "network", first, {"description": "linear"})
    artefacts.load(tmp_path, "network", second)
    assert torch.equal(first.weight, second.weight)
    assert artefacts.read_card(tmp_path, "network") == {"kind": "network", "description": "linear"}


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_weights_cut_short_are_named(tmp_path, keep):
    artefacts.save(tmp_path, "network", nn.Linear(3, 2), {})
    path = tmp_path / "network.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="network.safetensors: cannot be read, is it cut short?"):
        artefacts.load(tmp_path, "network", nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(3, 4), r"bias \(2,\) instead of \(4,\)"),
        (nn.Linear(3, 2, bias=False), r"bias \(2,\) instead of missing"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path, other, message):
    artefacts.save(tmp_path, "network", nn.Linear(3, 2), {})
    with pytest.raises(ValueError, match=f"holds another network: {message}"):
        artefacts.load(tmp_path, "network", other)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match="network.safetensors: no such file"):
        artefacts.load(tmp_path, "network", nn.Linear(3, 2))
