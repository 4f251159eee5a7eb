"""Submission files: both forms, and where they are malformed."""

import pytest

from iit_lab.benchmark import submissions

TEXT = "a1:\n  left: [{layer: 1, units: [3]}]\n"
JSON = '{"a1": {"left": [{"layer": 1, "units": [3]}]}}'
DATA = {"a1": {"left": [{"layer": 1, "units": [3]}]}}


@pytest.mark.parametrize(("name", "text"), [("s.yaml", TEXT), ("s.yml", JSON), ("s.json", JSON)])
def test_yaml_and_json(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert submissions.read(tmp_path / name) == DATA


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.yaml", "a1:\n  left: [{layer: 1\n", "malformed at line 3, column 1"),
        ("s.yaml", TEXT + TEXT, "malformed at line 3, column 1: a1 is there twice"),
        ("s.yaml", "a1: !!python/object/apply:os.getcwd []", "malformed at line 1, column 5"),
        ("s.yaml", "? [a]\n: 1\n", "malformed at line 1, column 3: a key must be a word"),
        ("s.yaml", "a1: " + "[" * 5000, "malformed"),
        ("s.yaml", "a: &x [1]\nb: *x\n", "malformed at line 2, column 4: an alias is not allowed"),
        ("s.yaml", "", "holds no networks"),
        ("s.yaml", "[1, 2]", "holds no networks"),
        ("s.json", '{"a1": \n {]}', "malformed at line 2, column 3"),
        ("s.json", '{"a1": 1, "a1": 2}', "malformed: a1 is there twice"),
        ("s.json", "[" * 100000, "malformed"),
    ],
)
def test_malformed_files_say_where(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        submissions.read(tmp_path / name)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        submissions.read(tmp_path / "nothing.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    with pytest.raises(ValueError, match="is no text"):
        submissions.read(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"zz": {}}, "zz: there is no such network; there are 2, such as"),
        ({"a1": {"up": 1}}, r"a1.up: there is no such variable; there are \['left', 'right'\]"),
        ({"b2": {"left": 1}}, r"b2: \['right'\] missing; it was trained for \['left', 'right'\]"),
        ({"a1": 3}, "a1=3: write variable: sites"),
    ],
)
def test_what_it_is_about_must_exist(data, message):
    required = {"a1": ("left",), "b2": ("left", "right")}
    with pytest.raises(ValueError, match=message):
        submissions.check(data, required, ("left", "right"))
