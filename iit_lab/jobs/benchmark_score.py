"""Scoring submissions to a published benchmark, searching for alignments, verifying answers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.progress import track

from iit_lab.benchmark.claims import Claims, to_json
from iit_lab.benchmark.leaderboard import Entry, ranked
from iit_lab.benchmark.tables import leaderboard_table
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.config import ConfigError
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.build import set_threads
from iit_lab.jobs.lightning import find_device
from iit_lab.jobs.published import Published, Scored
from iit_lab.jobs.targets import about, at, make
from iit_lab.models.base import StagedModel
from iit_lab.results.files import replacing, write_json

if TYPE_CHECKING:
    from iit_lab.jobs.benchmark import Benchmark

log = logging.getLogger(__name__)
Search = Callable[[StagedModel, Sequence[InterchangeBatch]], Claims]


def score(job: Benchmark, run: Run) -> Outcome:
    """Score one submission or several: `scores.json`, `leaderboard.md`.

    Raises:
        ConfigError: for a benchmark, a submission or answers that cannot be read, saying where.
    """
    published = open_published(job, run)
    if not job.submission:
        raise ConfigError("job.submission=null: name the file of a submission, or a list of files")
    files = [job.submission] if isinstance(job.submission, str) else list(job.submission)
    names = [Path(file).stem for file in files]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"job.submission={files}: two submissions are called {twice[0]}")
    claims = {}
    for name, file in zip(names, files, strict=True):
        with about("job.submission", file):
            claims[name] = published.read(file)
    truth = _truth(job, published)
    scored = [score_claims(published, name, own, truth, run) for name, own in claims.items()]
    for each in scored:
        log.info("%s\n%s", each.name, each.text)
    return report(run.directory, scored)


def score_claims(
    published: Published,
    name: str,
    claims: Mapping[str, Claims],
    truth: Mapping[str, Claims] | None,
    run: Run,
) -> Scored:
    """Score claims that have been read."""
    return published.score_claims(name, claims, truth, find_device(run.config.hardware))


def report(directory: Path, scored: Sequence[Scored]) -> Outcome:
    """Write the leaderboard and every network's scores.

    Args:
        directory: where.
        scored: submissions.
    """
    rows = ranked([each.row for each in scored])
    table = leaderboard_table(rows)
    log.info("leaderboard\n%s", table)
    parts = [f"# Leaderboard\n\n{table}\n"]
    parts += [f"## {each.name}\n\n{each.text}\n" for each in scored]
    with replacing(directory / "leaderboard.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    write_json(directory / "scores.json", {each.name: each.to_json() for each in scored})
    metrics = {}
    for row in rows:
        metrics |= row_metrics(row)
    return Outcome(metrics, files={"leaderboard": "leaderboard.md", "scores": "scores.json"})


def row_metrics(row: Entry) -> dict[str, float]:
    """A row of the leaderboard as metrics of a record."""
    values = {
        "iia": row.iia,
        "iia_above_baselines": row.above,
        "dimensions": row.dimensions,
        "jaccard": row.jaccard,
        "overlap": row.overlap,
    }
    return {f"{row.name}/{key}": float(value) for key, value in values.items() if value is not None}


def search(job: Benchmark, run: Run) -> Outcome:
    """Look for the alignments of all networks: a submission, `NAME.yaml`, and its score."""
    published = open_published(job, run)
    truth = _truth(job, published)
    claims = find(job, published, job.method)
    file = save_submission(run.directory / f"{job.method}.yaml", claims)
    outcome = report(run.directory, [score_claims(published, job.method, claims, truth, run)])
    outcome.files["submission"] = file.name
    return outcome


def find(job: Benchmark, published: Published, method: str) -> dict[str, Claims]:
    """Claims about every network, from pairs that are not those of the test."""
    searcher = searches(job)[method]
    found = {}
    for name in track(published.ids, f"searching by {method}", disable=not sys.stdout.isatty()):
        variables = set(published.variables(name))
        groups = [group for group in published.practice if set(group.variables) <= variables]
        with at(f"job.searches.{method}"):
            found[name] = searcher(published.network(name), groups)
    return found


def searches(job: Benchmark) -> dict[str, Search]:
    """The ways to search.

    Raises:
        ConfigError: for one that cannot be built.
    """
    with at("job.searches"):
        return {name: make(node) for name, node in job.searches.items()}


def save_submission(path: Path, claims: Mapping[str, Claims]) -> Path:
    """Claims as a file that can be submitted."""
    data: dict[str, Any] = {name: to_json(own) for name, own in sorted(claims.items())}
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(data, default_flow_style=None, sort_keys=False), encoding="utf-8")
    return path


def verify(job: Benchmark, run: Run) -> Outcome:
    """Make sure that answers are those that were committed to, and weights those that were published.

    Raises:
        ConfigError: if they are not.
    """
    published = open_published(job, run)
    if job.answers is None:
        raise ConfigError("job.answers=null: name the sealed file")
    with about("job.answers", job.answers):
        published.verified(job.answers)
    log.info("verified: the answers for all %d networks are those committed to", len(published.ids))
    return Outcome({"verified": 1.0})


def open_published(job: Benchmark, run: Run) -> Published:
    """The benchmark that `job.run` names.

    Raises:
        ConfigError: if it cannot be read.
    """
    if job.run is None:
        raise ConfigError("job.run=null: name the published folder of a benchmark")
    with about("job.run", job.run):
        published = Published.open(job.run, job.trust, job.eval_batch_size)
        for name in published.ids:
            set_threads(run.config, published.network(name))  # all of one size
    return published


def _truth(job: Benchmark, published: Published) -> dict[str, Claims] | None:
    if job.answers is None:
        return None
    with about("job.answers", job.answers):
        return published.truth(job.answers)
