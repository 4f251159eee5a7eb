"""`job=collect`, `job=table` and `job=figure` on a sweep's folder."""

import csv

import pyarrow.parquet
import pytest

from iit_lab.results.record import write_config, write_result

TABLE = [["0", "0.625 ± 0.177", "0.500"], ["10", "0.250", "-"]]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Layers 0 and 10, ranks 4 and 16, two seeds; one cell is unfinished, one broken."""
    monkeypatch.setattr("iit_lab.results.record.code_version", dict)
    folder = tmp_path / "outputs" / "sweeps" / "s"

    def cell(layer, rank, seed, iia=None):
        config = {
            "alignment": {"layer": layer},
            "intervention": {"rank": rank},
            "seed": seed,
            "job": {},
            "task": {},
        }
        typed = [f"alignment.layer={layer}", f"intervention.rank={rank}", f"seed={seed}"]
        directory = folder / f"layer-{layer}_rank-{rank}_seed-{seed}"
        write_config(directory, config, typed)
        if iia is not None:
            metrics = {"test/accuracy": 1.0, "test/iia": iia}
            write_result(directory, config, typed, metrics, {"total": 2.0}, {}, [])
        return directory

    cell(10, 4, 0, 0.25)
    cell(0, 4, 0, 0.5)
    cell(0, 4, 1, 0.75)
    cell(0, 16, 0, 0.5)
    cell(0, 16, 1)
    (cell(10, 16, 0, 0.1) / "result.json").write_text('{"half')
    return folder


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def markdown(text):
    """The rows of a Markdown table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_collect_writes_runs_and_their_summary(launch, sweep):
    launched = launch("job=collect", "sweep=s")
    rows = read(sweep / "tables" / "runs.csv")
    order = [(row["alignment.layer"], row["intervention.rank"], row["seed"], row["test/iia"]) for row in rows]
    assert order == [
        ("0", "4", "0", "0.5"),
        ("0", "4", "1", "0.75"),
        ("0", "16", "0", "0.5"),
        ("10", "4", "0", "0.25"),
    ]
    assert {row["timing/total"] for row in rows} == {"2.0"}
    summary = read(sweep / "tables" / "summary.csv")
    assert [row["test/iia/mean"] for row in summary] == ["0.625", "0.5", "0.25"]
    assert [row["runs"] for row in summary] == ["2", "1", "1"]
    assert [row["test/iia/std"] == "" for row in summary] == [False, True, True]
    for name, expected in (("runs", rows), ("summary", summary)):
        read_back = pyarrow.parquet.read_table(sweep / "tables" / f"{name}.parquet").to_pydict()
        assert list(read_back) == list(expected[0])
        assert [str(value) for value in read_back["alignment.layer"]] == [
            row["alignment.layer"] for row in expected
        ]
    assert "4 runs, 1 unfinished, 1 unreadable" in launched.output
    assert launched.output.count("layer-10_rank-16_seed-0/result.json: cannot be read") == 1
    assert "0.6250" in launched.output or "0.625" in launched.output


@pytest.mark.parametrize("job", ["collect", "table", "figure"])
def test_nothing_else_is_left(launch, sweep, job):
    launched = launch(f"job={job}", "sweep=s")
    assert not launched.directory.exists()
    written = {path.relative_to(sweep).parts[0] for path in sweep.rglob("*") if path.is_file()}
    assert {name for name in written if not name.startswith("layer-")} == {
        "figures" if job == "figure" else "tables"
    }


def test_table_is_printed_and_written(launch, sweep):
    launched = launch("job=table", "sweep=s")
    expected = [["alignment.layer \\ intervention.rank", "4", "16"], *TABLE]
    text = (sweep / "tables" / "test-iia.md").read_text()
    assert [row for row in markdown(text) if not row[0].startswith(":")] == expected
    assert [row for row in markdown(launched.output) if not row[0].startswith(":")] == expected
    assert text.startswith("test/iia of sweep s\n")
    assert r"0 & 0.625 $\pm$ 0.177 & 0.500 \\" in (sweep / "tables" / "test-iia.tex").read_text()


@pytest.mark.parametrize(
    "where", ["job.where={layer: 10}", "+job.where.alignment.layer=10", "+job.where.layer=10"]
)
def test_table_of_a_part(launch, sweep, where):
    launch("job=table", "sweep=s", where, "job.metric=test/accuracy")
    text = (sweep / "tables" / "test-accuracy.md").read_text()
    assert markdown(text)[2:] == [["10", "1.000"]]
    assert "layer=10" in text.splitlines()[0]


def test_table_over_something_else(launch, sweep):
    launch("job=table", "sweep=s", "job.columns=seed", "job.over=[rank]")
    assert markdown((sweep / "tables" / "test-iia.md").read_text())[2:] == [
        ["0", "0.500 ± 0.000", "0.750"],
        ["10", "0.250", "-"],
    ]


@pytest.mark.parametrize("kind", ["heatmap", "lines"])
def test_figure_is_written_twice(launch, sweep, kind):
    launch("job=figure", "sweep=s", f"job.kind={kind}", "job.vmin=0.5")
    assert sorted(path.name for path in (sweep / "figures").iterdir()) == [
        f"test-iia-{kind}.pdf",
        f"test-iia-{kind}.png",
    ]


def test_an_empty_sweep_is_collected_but_has_no_table(launch, tmp_path):
    folder = tmp_path / "outputs" / "sweeps" / "empty"
    folder.mkdir(parents=True)
    assert "0 runs, 0 unfinished, 0 unreadable" in launch("job=collect", "sweep=empty").output
    assert (folder / "tables" / "runs.csv").read_text() == "cell,timing/total\n"
    for job in ("table", "figure"):
        assert "sweep=empty: has no finished run yet" in launch(f"job={job}", "sweep=empty", code=1).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep=t"], "sweep=t: there is no such sweep in outputs/sweeps; there are: s"),
        ([], "sweep=null: name the sweep"),
        (["sweep=s", "job.rows=lyer"], "job.rows=lyer: no such key"),
        (["sweep=s", "job.columns=lyer"], "job.columns=lyer: no such key"),
        (
            ["sweep=s", "job.metric=iia"],
            "job.metric=iia: there is no such metric; there are: test/accuracy, test/iia",
        ),
        (["sweep=s", "job.over=[]"], "job.where={}: runs with the same"),
        (
            ["sweep=s", "job.where={layer: 3}"],
            "job.where.layer=3: no run is left; alignment.layer has: 0, 10",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("job", ["job=table", "job=figure", "job=figure job.kind=lines"])
def test_mistakes_are_one_line_that_names_the_key(launch, sweep, job, arguments, message):
    launched = launch(*job.split(), *arguments, code=1)
    assert message in launched.output
    assert "Traceback" not in launched.output
    assert not any((sweep / name).exists() for name in ("tables", "figures"))


@pytest.mark.parametrize(
    ("key", "message"),
    [("job.kind=pie", "job.kind=pie: "), ("job.vmin=2", "job.vmin=2"), ("job.vmax=high", "job.vmax=high: ")],
)
def test_a_figure_s_own_keys(launch, sweep, key, message):
    assert message in launch("job=figure", "sweep=s", key, code=1).output
