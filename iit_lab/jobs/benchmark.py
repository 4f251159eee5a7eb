"""`job=benchmark`: make black-box networks with known alignments, and score what others propose.

The II-Benchmark (interchange interventions on hierarchical equality), without its weaknesses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iit_lab.config import ConfigError
from iit_lab.jobs import benchmark_generate, benchmark_score
from iit_lab.jobs.base import Job, Outcome, Run
from iit_lab.jobs.targets import check_targets

SPACE = "iit_lab.alignment.sampling.AlignmentSpace"
ACTIONS: Mapping[str, Callable[["Benchmark", Run], Outcome]] = {
    "generate": benchmark_generate.generate,
    "score": benchmark_score.score,
    "search": benchmark_score.search,
    "verify": benchmark_score.verify,
}


@dataclass(frozen=True)
class Benchmark(Job):
    """Generate a benchmark, score submissions, search for alignments, or verify answers.

    Args:
        action: which of them.
        n: generate: alignments; each has a network for every set of variables it is trained on.
        seed: generate: of alignments, initial weights and the order of data; None for one that nobody can
            guess. One that is given is in the run's own `config.json`, which must then not be published.
        alignments: generate: keys of `AlignmentSpace`.
        gate: generate: the least `accuracy` and `iia` of a network that is published.
        searches: generate and search: ways to find alignments, by name.
        baselines: generate: those of them that get a row of the leaderboard.
        run: score, search, verify: folder that was published.
        submission: score: a file, or several.
        answers: score, verify: the sealed file.
        method: search: which of `searches`.
        trust: packages outside iit_lab whose components a benchmark's recipe may build.
        batch_size: rows per optimiser step of each network.
        eval_batch_size: rows at once where nothing is trained.
        max_epochs: passes over the training data.
        max_steps: optimiser steps, if fewer; None for no limit.
        gradient_clip: largest gradient norm of each network; None for no clipping.
        log_every: optimiser steps between logged losses.
        steps_per_call: optimiser steps per call of Lightning; changes speed, not numbers.
    """

    action: str
    n: int
    seed: int | None
    alignments: Mapping[str, Any]
    gate: Mapping[str, float]
    searches: Mapping[str, Mapping[str, Any]]
    baselines: Sequence[str]
    batch_size: int
    eval_batch_size: int
    max_epochs: int
    max_steps: int | None
    gradient_clip: float | None
    log_every: int
    steps_per_call: int
    run: str | None = None
    submission: str | Sequence[str] | None = None
    answers: str | None = None
    method: str = "blocks"
    trust: Sequence[str] = field(default_factory=tuple)

    def prepare(self, run: Run) -> None:
        """Refuse what this job cannot do."""
        if self.action not in ACTIONS:
            raise ConfigError(f"job.action={self.action}: valid are {list(ACTIONS)}")
        for key, names in (("baselines", self.baselines), ("method", [self.method])):
            unknown = [name for name in names if name not in self.searches]
            if unknown:
                raise ConfigError(f"job.{key}={unknown[0]}: job.searches has {list(self.searches)}")
        if not isinstance(self.alignments.get("kinds"), Mapping):
            raise ConfigError(f"job.alignments.kinds={self.alignments.get('kinds')}: placements by name")
        space = {**self.alignments, "_target_": SPACE}
        check_targets({"job": {"alignments": {key: own for key, own in space.items() if key != "kinds"}}})
        for key, value in self.gate.items():
            if key not in ("accuracy", "iia") or not 0 <= value <= 1:
                raise ConfigError(f"job.gate.{key}={value}: accuracy and iia, from 0 to 1")

    def perform(self, run: Run) -> Outcome:
        """Do what `action` says."""
        self.prepare(run)
        return ACTIONS[self.action](self, run)
