import pytest
from hypothesis import given
from hypothesis import strategies as st

from iit_lab.sites import Site, format_units, parse_units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        (3, (3,)),
        ("3", (3,)),
        ([0, 3, 5], (0, 3, 5)),
        ("0:4", (0, 1, 2, 3)),
        ("0:2,5,7:9", (0, 1, 5, 7, 8)),
    ],
)
def test_units_by_hand(text, expected):
    assert parse_units(text) == expected


@given(st.lists(st.integers(0, 40), min_size=1, unique=True))
def test_format_is_read_back(indices):
    assert parse_units(format_units(indices)) == tuple(indices)


@pytest.mark.parametrize(
    "text", ["4:4", "8:4", "a", "", "1,,2", "-1", [-1], [], [1, 1], "0:3,2", 1.5, [0.7], [[1]]], ids=repr
)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match="units=.*: write an index"):
        parse_units(text)


def test_names():
    assert str(Site(2, "block_output")) == "layer2.block_output"
    assert str(Site(0, "resid_post", positions=(5,), units=(0, 1, 2))) == "layer0.resid_post[pos 5][0:3]"
