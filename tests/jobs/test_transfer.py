"""`job=transfer`: the matrix holds what single evaluations find; grids are shared; bad input."""

import json

import pandas as pd
import pytest

PATTERNS = ("experiment=patterns", "debug=fast", "alignment.layers=[0]", "model.network.hidden=[16,16]")
PATTERNS += ("job.seeds=[0,1]", "outputs=shared")


@pytest.fixture
def made(launch):
    return launch(*PATTERNS, "job.trained_on=null", directory="matrix")


def test_every_alignment_is_tested_under_every_model(launch, made):
    table = pd.read_csv(made.directory / "transfer.csv")
    assert len(table) == 3 * 3 * 2
    assert set(table["seed"]) == {0, 1}
    files = {path.name for path in made.directory.rglob("*") if path.is_file()}
    assert {"transfer.md", "ABAB_rank-4-heatmap.png", "AABB_rank-4-lines.pdf"} <= files
    # the diagonal is what the alignment's own record says, the rest what a single evaluation finds
    for record in made.directory.parent.glob("shared/alignments/*/cells/*/result.json"):
        found = json.loads(record.read_text())
        config = found["config"]
        name, seed = config["task"]["causal_model"]["pattern"], config["seed"]
        rows = table[(table["trained_on"] == name) & (table["seed"] == seed)].set_index("tested_on")
        assert rows.loc[name, "test/iia"] == pytest.approx(found["metrics"]["test/iia"], abs=1e-9)
        assert config["model"]["seed"] == seed and config["requires"]["network"]["seed"] == seed
    mean = table[(table["trained_on"] == "ABAB") & (table["tested_on"] == "ABBA")]["test/iia"].mean()
    assert made.metrics["test/iia/ABAB/ABBA/layer_0/rank_4"] == pytest.approx(mean)


def test_grids_are_shared_with_runs_of_their_own(launch, made):
    """A grid that was started by hand is the one that is used, and the other way round."""
    records = "shared/alignments/*/result.json"
    before = {path: path.stat().st_mtime_ns for path in made.directory.parent.glob(records)}
    assert len(before) == 6
    again = launch(*PATTERNS, "job.tested_on=same", "job.trained_on=null", directory="same")
    after = {path: path.stat().st_mtime_ns for path in made.directory.parent.glob(records)}
    assert after == before
    assert len(pd.read_csv(again.directory / "transfer.csv")) == 6
    assert "best model" in (again.directory / "transfer.md").read_text()
    networks = list(made.directory.parent.glob("shared/networks/*"))
    assert len(networks) == 2  # one for each seed, whatever pattern is aligned


def test_a_grid_that_is_there_already_is_used(launch):
    by_hand = ("job=align", "task=arithmetic_sum", "alignment.layers=[11]", "intervention.ranks=[5]")
    small = ("experiment=sum_das_grid", "debug=fast", "job.min_accuracy=null", "outputs=shared", *by_hand[2:])
    own = launch(*small, directory="own")
    family = ("experiment=sum_sanity", "debug=fast", "job.fit.min_accuracy=null", "outputs=shared")
    launched = launch(*family, *by_hand[2:], directory="family")
    linked = [path for path in own.directory.parent.glob("shared/alignments/*") if path.is_symlink()]
    assert [path.resolve() for path in linked] == [own.directory.resolve()]
    cell = json.loads((own.directory / "cells" / "layer-11_rank-5" / "result.json").read_text())
    for part in ("test", "seen", "all"):
        metric = launched.metrics[f"{part}/iia/xy/xy/layer_11/rank_5"]
        assert metric == pytest.approx(cell["metrics"][f"{part}/iia"], abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("~job.models.AABB", "~job.models.ABBA"),
            "job.models=['ABAB']: a family has two causal models or more",
        ),
        (("job.trained_on=[ABCD]",), "job.trained_on=['ABCD']: one or more of ['ABAB', 'AABB', 'ABBA']"),
        (("job.trained_on=[]",), "job.trained_on=[]: one or more"),
        (("job.reference=ABCD",), "job.reference=['ABCD']: one or more of"),
        (("job.seeds=[1,1]",), "job.seeds=[1, 1]: one or more, each once"),
        (("job.fit.batch_sizes=3",), "Key 'batch_sizes'"),
        (("+job.fit.batch_sizes=3",), "job.fit.batch_sizes=3: Align takes"),
        (("job.tested_on=some",), "job.tested_on=some"),
        (("alignment=whole_site",), "use alignment=grid"),
    ],
)
def test_what_is_no_family_is_one_line(launch, tmp_path, arguments, message):
    whole = ("~alignment.layers", "~intervention.ranks") if "alignment=whole_site" in arguments else ()
    given = [text for text in PATTERNS if not (whole and text.startswith("alignment."))]
    extra = [text for text in whole if text != "~alignment.layers"]
    refused = launch(*given, *arguments, *extra, code=1)
    assert message in refused.output
    assert "Traceback" not in refused.output
    assert not (tmp_path / "shared" / "alignments").exists()
