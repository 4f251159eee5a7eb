import json

import pytest

from iit_lab.alignment.alignment import place
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.sites import Site

NAMES = ("left", "right")


def test_all_variables_at_one_place():
    alignment = place(NAMES, 1)
    assert dict(alignment) == {name: (Site(1, "block_output"),) for name in NAMES}


def test_what_differs_per_variable():
    alignment = place(NAMES, 1, units="0:2", variables={"left": {"layer": 0}, "right": [{}, {"units": 5}]})
    assert alignment["left"] == (Site(0, "block_output", units=(0, 1)),)
    assert alignment["right"] == (
        Site(1, "block_output", units=(0, 1)),
        Site(1, "block_output", units=(5,)),
    )


def test_some_of_the_variables():
    assert list(place(NAMES, 0, variables=["right"])) == ["right"]


def test_moved_widened_renamed():
    alignment = place(NAMES, 1, units="0:2")
    assert alignment.at_layer(2)["left"] == (Site(2, "block_output", units=(0, 1)),)
    assert alignment.whole()["left"] == (Site(1, "block_output"),)
    assert list(alignment.renamed(("p", "q"))) == ["p", "q"]
    with pytest.raises(ValueError, match="variables=.'p'.: the alignment has"):
        alignment.renamed(("p",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variables": ["middle"]}, r"variables=\['middle'\]: the task has \['left', 'right'\]"),
        ({"variables": {"left": {"unit": 3}}}, "variables.left.unit=3: a place has"),
        ({"variables": {"left": {"units": "3:1"}}}, "variables.left.units=3:1: write an index"),
        ({"units": "x"}, "units=x: write an index"),
        ({"position": -1}, "position=-1: write an index"),
        ({"variables": {}}, "the task has"),
    ],
)
def test_bad_places(options, message):
    with pytest.raises(ValueError, match=message):
        place(NAMES, 0, **options)


def test_a_network_without_the_site_is_named():
    model = MLP([4], (4,), 2, generator_for(0))
    with pytest.raises(ValueError, match="layer=1: mlp 4 has layers 0..0"):
        place(NAMES, 1).checked(model)


def test_written_and_read_back_as_json():
    alignment = place(NAMES, 1, variables={"left": [{"layer": 0, "units": "2:4"}, {}], "right": {"heads": 1}})
    plain = json.loads(json.dumps(alignment.to_json()))
    read = {
        name: tuple(
            Site(**{key: tuple(value) if isinstance(value, list) else value for key, value in site.items()})
            for site in sites
        )
        for name, sites in plain.items()
    }
    assert read == dict(alignment)


def test_a_subspace_per_position():
    together = place(("P",), layer=1, position="0:3")
    apart = place(("P",), layer=1, position="0:3", per_position=True)
    assert together["P"] == (Site(1, "block_output", (0, 1, 2)),)
    assert apart["P"] == tuple(Site(1, "block_output", (position,)) for position in range(3))
    with pytest.raises(ValueError, match="per_position=True: name the positions"):
        place(("P",), layer=1, per_position=True)
