"""`job=reproduce`: makes what is missing, then writes the table."""

from pathlib import Path

import pytest

TABLE = """
_target_: iit_lab.results.paper.PaperTable
name: tiny
caption: Two layers.
source: nobody
metric: test/iia
tolerance: 0.001
runs:
  grid:
    overrides: [experiment=equality_das, alignment=grid, "alignment.layers=[0,1]", "intervention.ranks=[2]",
      counterfactual.n_val=50, counterfactual.n_test=64, job.max_steps=4]
    seeds: [0, 1]
columns:
  - {label: first, where: {alignment.layer: 0}}
  - {label: second, where: {alignment.layer: 1}}
rows:
  - {label: DAS, run: RUN, where: {intervention.rank: 2}, published: [0.0, null]}
"""


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder of further configs, with a table of its own."""
    folder = tmp_path / "more" / "table"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(TABLE.replace("RUN", "grid"))
    (folder / "wrong.yaml").write_text(TABLE.replace("RUN", "other"))
    return folder.parent


def test_a_table_is_made_and_made_again_from_what_there_is(launch, tables, tmp_path):
    known = ("--config-dir", str(tables), "job=reproduce", "table=tiny", "debug=fast")
    made = launch(*known, "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2")
    sweep = tmp_path / "outputs" / "sweeps" / "tiny-grid_debug-fast"
    assert len(list(sweep.glob("*/cells/*/result.json"))) == 4
    folder = tmp_path / "outputs" / "tables" / "tiny_debug-fast"  # apart from the table's own
    assert sorted(path.name for path in folder.iterdir()) == [
        *("figure.pdf", "figure.png", "table.csv", "table.md", "table.tex")
    ]
    text = (folder / "table.md").read_text()
    assert "Ours is the mean ± standard deviation over 2 runs" in text and "(0.000) !" in text
    assert "1 cells outside the tolerance\nDAS, first: " in made.output
    assert "hydra/launcher=local_pool hydra.launcher.n_jobs=2" in made.output
    before = {path: path.stat().st_mtime_ns for path in sweep.rglob("result.json")}
    launch(*known)
    assert {path: path.stat().st_mtime_ns for path in sweep.rglob("result.json")} == before
    shown = launch(*known, "job.run_missing=false")
    assert "iit-lab -m" not in shown.output and "(0.000) !" in shown.output


def test_cells_that_fail_are_said_and_the_table_is_written(launch, tables, tmp_path):
    failed = launch(
        *("--config-dir", str(tables), "job=reproduce", "table=tiny", "debug=fast", "job.seeds=[0]"),
        "counterfactual.n_train=0",
        code=1,
    )
    assert "table=tiny: cells of tiny-grid_" in failed.output
    assert "failed; the same command does them again" in failed.output
    assert "2 cells without any run" in failed.output
    assert len(list((tmp_path / "outputs" / "tables").glob("tiny_*/table.md"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "table=null: name a table of conf/table"),
        (("table=wrong",), "table.rows[0].run=other: the table has runs ['grid']"),
        (("table=tiny", "seed=7"), "seed=7: a table has seeds of its own; use job.seeds=[...]"),
        (("table=tiny", "table.metric=3"), "table.metric=3: PaperTable takes"),
        (("table=tiny", "+table.rwos=[]"), "table.rwos=[]: PaperTable takes"),
    ],
)
def test_what_is_no_table_is_refused(launch, tables, tmp_path, arguments, message):
    refused = launch("--config-dir", str(tables), "job=reproduce", *arguments, code=1)
    assert message in refused.output
    assert not (tmp_path / "outputs" / "sweeps").exists()
