"""Figures show the numbers of the table, in its order, and leave no trace in pyplot."""

import io
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh

from iit_lab.results.figures import heatmap, lines, save

ROWS = [(2, 4, 0, 0.5), (2, 4, 1, 0.75), (2, 16, 0, 0.25), (10, 4, 0, 1.0), (10, 4, 1, 1.0)]
FRAME = pd.DataFrame(ROWS, columns=["alignment.layer", "intervention.rank", "seed", "test/iia"])
FRAME.insert(0, "cell", list("abcde"))


def texts(labels):
    return [label.get_text() for label in labels]


def test_heatmap_shows_means():
    axes, bar = heatmap(FRAME, "layer", "rank", "test/iia", title="t").axes
    assert texts(axes.texts) == ["0.625", "0.250", "1.000"]
    (mesh,) = (found for found in axes.collections if isinstance(found, QuadMesh))
    np.testing.assert_array_equal(mesh.get_array().filled(-1), [[0.625, 0.25], [1.0, -1]])
    assert mesh.get_clim() == (0, 1)
    assert texts(axes.get_yticklabels()) == ["2", "10"] and axes.get_ylabel() == "alignment.layer"
    assert texts(axes.get_xticklabels()) == ["4", "16"] and axes.get_xlabel() == "intervention.rank"
    assert axes.yaxis_inverted()  # the first row is on top, as in the table
    assert (bar.get_ylabel(), axes.get_title()) == ("test/iia", "t")


def test_heatmap_s_scale_can_be_set():
    axes = heatmap(FRAME, "layer", "rank", "test/iia", vmin=0.5, vmax=0.9).axes[0]
    assert axes.collections[0].get_clim() == (0.5, 0.9)


def test_lines_have_a_band_of_one_standard_deviation():
    (axes,) = lines(FRAME, "layer", "rank", "test/iia").axes
    first, second = axes.lines
    assert first.get_xydata().tolist() == [[2, 0.625], [10, 1.0]]
    assert second.get_xydata().tolist() == [[2, 0.25]]
    assert first.get_marker() == "o"
    band = axes.collections[0].get_paths()[0].vertices
    spread = 0.125 * 2**0.5
    at_two = band[band[:, 0] == 2, 1]
    assert (at_two.min(), at_two.max()) == pytest.approx((0.625 - spread, 0.625 + spread))
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "intervention.rank" and texts(legend.get_texts()) == ["4", "16"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("alignment.layer", "test/iia")
    low, high = axes.get_ylim()
    assert low < 0 and high > 1


def test_lines_over_names_are_evenly_spaced_in_natural_order():
    frame = FRAME.assign(**{"alignment.layer": [f"block{layer}" for layer in FRAME["alignment.layer"]]})
    (axes,) = lines(frame, "layer", "rank", "test/iia").axes
    assert texts(axes.get_xticklabels()) == ["block2", "block10"]
    assert axes.lines[0].get_xdata().tolist() == [0, 1]


def test_many_lines_have_colours_of_their_own():
    frame = pd.DataFrame({"cell": "c", "x": 0, "hue": range(14), "test/iia": 0.5})
    (axes,) = lines(frame, "x", "hue", "test/iia").axes
    assert len({line.get_color() for line in axes.lines}) == 14


@pytest.mark.parametrize("draw", [heatmap, lines])
def test_filters_and_errors_are_the_table_s(draw):
    with pytest.raises(ValueError, match="also differ in lr"):
        draw(FRAME.assign(lr=range(5)), "layer", "rank", "test/iia")
    with pytest.raises(ValueError, match="where.layer=3: no run is left"):
        draw(FRAME, "layer", "rank", "test/iia", where={"layer": 3})
    figure = draw(FRAME, "layer", "rank", "test/iia", where={"layer": 2}, over=("seed",))
    assert "10" not in texts(figure.axes[0].get_xticklabels() + figure.axes[0].get_yticklabels())


def test_lines_name_their_own_arguments():
    with pytest.raises(ValueError, match="^x=lyer: "):
        lines(FRAME, "lyer", "rank", "test/iia")
    with pytest.raises(ValueError, match="^hue=rnk: "):
        lines(FRAME, "layer", "rnk", "test/iia")


@pytest.mark.parametrize("draw", [heatmap, lines])
def test_saved_whole_and_the_same_each_time(draw, tmp_path):
    for name in ("first.x", "second.x"):
        written = save(draw(FRAME, "layer", "rank", "test/iia"), tmp_path / "deep" / name)
        assert [path.name for path in written] == [f"{name}.png", f"{name}.pdf"]
    for kind in ("png", "pdf"):
        first, second = (
            (tmp_path / "deep" / f"{name}.x.{kind}").read_bytes() for name in ("first", "second")
        )
        assert first == second
    assert len(list((tmp_path / "deep").iterdir())) == 4
    image = matplotlib.image.imread(io.BytesIO((tmp_path / "deep" / "first.x.png").read_bytes()))
    assert min(image.shape[:2]) > 200 and image[..., :3].std() > 0.05
    assert (tmp_path / "deep" / "first.x.pdf").read_bytes().startswith(b"%PDF")


def test_pyplot_has_no_figure():
    heatmap(FRAME, "layer", "rank", "test/iia")
    lines(FRAME, "layer", "rank", "test/iia")
    assert sys.modules["matplotlib.pyplot"].get_fignums() == []  # seaborn imports it
