"""A published benchmark: black-box networks, what they were trained for, and the pairs that score claims.

```python
from iit_lab.jobs.published import Published

benchmark = Published.open("outputs/runs/ii_benchmark/.../published")
print(benchmark.score("mine.yaml").text)
```
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from iit_lab.benchmark import answers, submissions
from iit_lab.benchmark.answers import Sealed
from iit_lab.benchmark.claims import Claims, dimensions, read
from iit_lab.benchmark.leaderboard import Entry, entry
from iit_lab.benchmark.overlap import alignment_of, jaccard
from iit_lab.benchmark.scoring import NetworkScore, score
from iit_lab.benchmark.tables import scores_table
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.jobs.build import build_model, build_policy, build_task
from iit_lab.jobs.targets import check_targets
from iit_lab.jobs.trust import check_untrusted
from iit_lab.models.base import StagedModel
from iit_lab.randomness import seed_of
from iit_lab.results import artefacts
from iit_lab.results.files import read_json
from iit_lab.tasks.base import Task
from iit_lab.training.data import Splits, draw_splits

VERSION = 1
MANIFEST, NETWORKS = "manifest.json", "networks"
RECIPE = ("task", "model", "counterfactual", "seed")
"""What of a config anybody needs in order to run the networks and draw the test pairs."""


@dataclass(frozen=True)
class Scored:
    """A submission's scores.

    Args:
        name: of the submission.
        networks: by id.
        row: of the leaderboard.
        text: as the II-Benchmark prints them.
    """

    name: str
    networks: Mapping[str, NetworkScore]
    row: Entry
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain data, by network."""
        return {name: asdict(own) for name, own in self.networks.items()}


@dataclass
class Published:
    """A benchmark's public folder.

    Args:
        folder: that holds the manifest.
        manifest: as read.
        config: the recipe.
        batch_size: rows at once.
    """

    folder: Path
    manifest: Mapping[str, Any]
    config: DictConfig
    batch_size: int = 8192
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        self.task = build_task(self.config)

    @classmethod
    def open(cls, folder: str | Path, trust: Sequence[str] = (), batch_size: int = 8192) -> "Published":
        """Read a benchmark that somebody else may have made.

        Args:
            folder: that holds `manifest.json` and `networks`.
            trust: packages outside iit_lab whose components its recipe may build.
            batch_size: rows at once.

        Raises:
            ValueError: if there is no manifest, or it lacks something or builds what is not allowed.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        manifest = read_json(path)
        if manifest.get("version") != VERSION:
            raise ValueError(f"{path}: version {manifest.get('version')}, this program reads {VERSION}")
        recipe, networks = manifest.get("recipe"), manifest.get("networks")
        if not isinstance(recipe, dict) or sorted(recipe) != sorted(RECIPE) or not isinstance(networks, dict):
            raise ValueError(f"{path}: a manifest has networks and a recipe of {list(RECIPE)}")
        for name, own in networks.items():
            known = isinstance(own, dict) and all(
                isinstance(own.get(key), str) for key in ("commitment", "trained", "weights")
            )
            if not re.fullmatch("n[0-9a-f]+", name) or not known:
                raise ValueError(
                    f"{path}: networks.{name} needs a commitment, weights and what it was trained on"
                )
        check_untrusted(recipe, str(path), tuple(trust))
        if isinstance(recipe["task"], dict) and recipe["task"].get("download"):
            raise ValueError(f"{path}: task.download=True: not allowed from a file; fetch the data yourself")
        check_targets(recipe)
        return cls(folder, manifest, OmegaConf.create(recipe), batch_size)

    @property
    def ids(self) -> list[str]:
        """The networks."""
        return sorted(self.manifest["networks"])

    def sets(self, network: str) -> list[str]:
        """The sets of variables that a network was trained for: its own, and all sets within it."""
        trained = set(self.manifest["networks"][network]["trained"].split("+"))
        return [group.name for group in self.test if set(group.variables) <= trained]

    def variables(self, network: str) -> tuple[str, ...]:
        """The variables that a network was trained for."""
        return tuple(self.manifest["networks"][network]["trained"].split("+"))

    def network(self, name: str) -> StagedModel:
        """A network with its weights.

        Raises:
            ValueError: if its file is not the one that the manifest names.
        """
        path = self.folder / NETWORKS / f"{name}.safetensors"
        if answers.file_hash(path) != self.manifest["networks"][name]["weights"]:
            raise ValueError(f"{path}: is not the file that the manifest names")
        model = build_model(self.config, self.task)
        artefacts.load_as(path, "network", model)
        return model.eval().requires_grad_(False)

    @cached_property
    def test(self) -> tuple[InterchangeBatch, ...]:
        """The pairs that score claims."""
        return self._draw("benchmark", replace(self._policy, n_train=1, n_val=1)).test

    @cached_property
    def practice(self) -> tuple[InterchangeBatch, ...]:
        """Other pairs, to look for alignments with: as many as there are for the test."""
        return self._draw("practice", replace(self._policy, n_train=1, n_val=1)).test

    @property
    def _policy(self) -> CounterfactualPolicy:
        return replace(build_policy(self.config), train_sets=[])

    def _draw(self, purpose: str, policy: CounterfactualPolicy) -> Splits:
        return draw_splits(self.task, policy, self.task.variables, seed_of(self.config.seed, purpose))

    def read(self, submission: str | Path | Mapping[str, Any]) -> dict[str, Claims]:
        """A submission's claims, by network.

        Raises:
            ValueError: saying what is wrong and where.
        """
        given = isinstance(submission, Mapping)
        data = dict(submission) if given else submissions.read(Path(submission))
        folder = Path() if given else Path(submission).parent
        required = {name: self.variables(name) for name in self.ids}
        submissions.check(data, required, self.task.variables)
        shape = build_model(self.config, self.task)
        return {name: read(own, shape, name, folder) for name, own in sorted(data.items())}

    def score(
        self,
        submission: str | Path | Mapping[str, Any],
        name: str | None = None,
        truth: Mapping[str, Claims] | None = None,
    ) -> Scored:
        """Read and score a submission.

        Args:
            submission: a file, or network -> variable -> sites.
            name: of the submission; the file's by default.
            truth: the true alignments, for overlaps.

        Raises:
            ValueError: for a submission that cannot be read, saying where.
        """
        if name is None:
            name = "submission" if isinstance(submission, Mapping) else Path(submission).stem
        return self.score_claims(name, self.read(submission), truth)

    def score_claims(
        self,
        name: str,
        claims: Mapping[str, Claims],
        truth: Mapping[str, Claims] | None = None,
        device: torch.device | None = None,
    ) -> Scored:
        """Score claims.

        Args:
            name: of the submission.
            claims: by network.
            truth: the true alignments, for overlaps.
            device: where to run.
        """
        device = torch.device("cpu") if device is None else device
        scores, sizes, overlaps = {}, {}, []
        for network, own in claims.items():
            model, variables = self.network(network), self.variables(network)
            scores[network] = score(model, own, self.test, self.batch_size, device)
            sizes[network] = dimensions(own, variables)
            if truth is not None:
                true = truth[network]
                for each in variables:
                    overlaps.append((jaccard(own, true, each), alignment_of(own, true, each, model)))
        trained = {network: self.sets(network) for network in self.ids}
        row = entry(name, scores, trained, sizes, overlaps)
        kinds = {network: self.manifest["networks"][network]["trained"] for network in scores}
        return Scored(name, scores, row, scores_table(scores, kinds))

    def truth(self, path: str | Path) -> dict[str, Claims]:
        """The true alignments, from an answer file that is what the manifest commits to.

        Raises:
            ValueError: if it is not, or cannot be read.
        """
        sealed = self.verified(path)
        shape = build_model(self.config, self.task)
        return {name: read(dict(sealed.answers[name].alignment), shape, name) for name in self.ids}

    def verified(self, path: str | Path) -> Sealed:
        """Answers that are what the manifest commits to.

        Raises:
            ValueError: if they are not, or cannot be read.
        """
        sealed = answers.read(Path(path))
        answers.verify(self.manifest["networks"], sealed)
        return sealed
