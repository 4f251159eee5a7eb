"""`job=evaluate`: the same numbers as the run's own test, and an alignment of one's own."""

import json

import pytest
import torch

from iit_lab.jobs.reporting import save_report
from iit_lab.training.evaluation import Evaluation

IIT = ("experiment=equality_iit", "debug=fast")


@pytest.mark.parametrize("experiment", ["equality_iit", "equality_das"])
def test_a_run_evaluated_again_gives_its_own_metrics(launch, experiment):
    trained = launch(f"experiment={experiment}", "debug=fast", directory="trained")
    evaluated = launch("job=evaluate", f"job.run={trained.directory}", "logger=csv")
    own = {key: value for key, value in trained.metrics.items() if key.startswith("test/")}
    assert evaluated.metrics == own
    assert evaluated.directory != trained.directory


def test_an_alignment_from_the_command_line_takes_the_run_s_place(launch):
    trained = launch(*IIT, directory="trained")
    moved = launch("job=evaluate", f"job.run={trained.directory}", "alignment.layer=2", "logger=csv")
    for name in ("left_equality", "right_equality"):
        assert moved.metrics[f"test/iia/{name}"] == trained.metrics[f"elsewhere/layer_2/iia/{name}"]
    assert moved.result["config"]["alignment"]["variables"]["left_equality"] == {"units": "0:8"}


def test_a_whole_alignment_from_the_command_line(launch):
    trained = launch(*IIT, directory="trained")
    named = launch(
        *("job=evaluate", f"job.run={trained.directory}", "logger=csv", "alignment=whole_site"),
        *("alignment.layer=1", "intervention=vanilla", "intervention.rank=8"),
    )
    assert named.metrics == {k: v for k, v in trained.metrics.items() if k.startswith("test/")}


def test_untrained_subspaces_are_said_to_be_random(launch):
    trained = launch(*IIT, directory="trained")
    launched = launch("job=evaluate", f"job.run={trained.directory}", "intervention=low_rank", "logger=csv")
    assert "the subspaces are random" in launched.output
    assert any("random" in note for note in launched.result["notes"])


def test_the_report_is_the_benchmark_s(launch):
    """Precision, recall, F1 and support per set of variables, printed and saved."""
    trained = launch(*IIT, directory="trained")
    launched = launch("job=evaluate", f"job.run={trained.directory}", "logger=csv")
    report = json.loads((launched.directory / "report.json").read_text())
    assert set(report) == {"left_equality", "right_equality", "left_equality+right_equality"}
    for name, per_class in report.items():
        assert per_class["0"]["support"] + per_class["1"]["support"] == 256
        assert per_class["accuracy"] == pytest.approx(launched.metrics[f"test/iia/{name}"], abs=1e-12)
    assert launched.output.count("precision    recall  f1-score   support") == 3


def test_precision_and_recall_by_hand(tmp_path):
    labels, predicted = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 0])
    save_report(tmp_path, Evaluation({}, {"v": (labels, predicted)}))
    report = json.loads((tmp_path / "report.json").read_text())["v"]
    assert report["0"]["precision"] == pytest.approx(2 / 3)
    assert report["1"]["recall"] == pytest.approx(1 / 2)
    assert report["0"]["support"] == 3
