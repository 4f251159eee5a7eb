"""Names of cells: readable, safe, the same for the same overrides and different for different ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iit_lab.results.record import OUTSIDE
from iit_lab.sweeps.names import LONGEST, cell_name


def test_last_parts_of_keys_in_the_order_of_the_keys():
    overrides = ["seed=1", "alignment.layer=0", "intervention.rank=4"]
    assert cell_name(overrides) == "layer-0_rank-4_seed-1"
    assert cell_name(overrides[::-1]) == "layer-0_rank-4_seed-1"


def test_keys_that_end_alike_are_written_out():
    assert cell_name(["model.seed=2", "seed=1", "optimizer.lr=1e-3"]) == "model.seed-2_lr-1e-3_seed-1"


def test_what_changes_nothing_is_left_out():
    overrides = [
        "sweep=x",
        "hardware=gpu",
        "hardware.threads=1",
        "logger.wandb.mode=online",
        "tags=[a]",
        "seed=1",
    ]
    assert cell_name(overrides, OUTSIDE) == "seed-1"
    assert cell_name(["sweep=x"], OUTSIDE) == "defaults"
    assert cell_name(["experiment=a", "seed=1"], {"experiment"}) == "seed-1"


@pytest.mark.parametrize(
    "override",
    ["control=[none,untrained]", "name='a b'", "+new.key=1", "~gone", "a=b_c-1", "a/b@c=d", "a=" + "x" * 200],
)
def test_what_cannot_be_written_faithfully_ends_in_a_hash(override):
    name = cell_name([override, "seed=1"])
    assert re.search(r"-[0-9a-f]{8}$", name)
    assert len(name) <= LONGEST


def test_two_long_values_with_the_same_beginning():
    names = {cell_name([f"a={'x' * 200}{end}"]) for end in "12"}
    assert len(names) == 2


KEYS = st.text("ab._", min_size=1, max_size=4)
VALUES = st.text("ab1_-. []/é", max_size=6)


@given(st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=3), min_size=2, max_size=2))
def test_safe_characters_and_no_two_alike(pair):
    one, other = ([f"{key}={value}" for key, value in overrides.items()] for overrides in pair)
    for overrides in (one, other):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", cell_name(overrides))
    assert (cell_name(one) == cell_name(other)) == (sorted(one) == sorted(other))
