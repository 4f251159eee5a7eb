"""What of a generated benchmark is given away, and what is sealed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from iit_lab.benchmark import answers
from iit_lab.benchmark.answers import Answer, Sealed
from iit_lab.benchmark.claims import to_json
from iit_lab.benchmark.draw import Planned
from iit_lab.config import ConfigError
from iit_lab.jobs.base import Run
from iit_lab.jobs.published import MANIFEST, NETWORKS, RECIPE, VERSION, Published
from iit_lab.models.base import StagedModel
from iit_lab.randomness import seed_of
from iit_lab.results.files import replacing, write_json
from iit_lab.tasks.base import Task

if TYPE_CHECKING:
    from iit_lab.jobs.benchmark import Benchmark

log = logging.getLogger(__name__)
EPOCH = 1_000_000_000
"""Modification time of every file that is published: when a network was made must not tell which it is."""


@dataclass(frozen=True)
class Made:
    """A trained network."""

    plan: Planned
    model: StagedModel
    trained: tuple[str, ...]
    passed: bool


def publish(job: Benchmark, run: Run, task: Task, made: Sequence[Made], seed: int, sealed: Path) -> Published:
    """Write the public folder and, apart from it, the answers.

    Raises:
        ConfigError: if no network is good enough.
    """
    if not any(each.passed for each in made):
        raise ConfigError(
            f"job.gate={dict(job.gate)}: none of {len(made)} networks passed; train longer, or ask for less"
        )
    folder = run.directory / "published"
    found, entries = {}, {}
    for each in sorted(made, key=lambda own: own.plan.name):
        name, weights = each.plan.name, ""
        if each.passed:
            path = folder / NETWORKS / f"{name}.safetensors"
            state = {key: value.detach().contiguous().cpu() for key, value in each.model.state_dict().items()}
            with replacing(path) as temporary:
                save_file(state, temporary)
            os.utime(path, (EPOCH, EPOCH))
            weights = answers.file_hash(path)
        trained = "+".join(each.trained)
        own = each.plan.sampled
        found[name] = Answer(trained, to_json(each.plan.claims), own.kind, own.control, weights)
        if each.passed:
            commitment = answers.commitment(name, found[name], each.plan.nonce)
            entries[name] = {"commitment": commitment, "trained": trained, "weights": weights}
    failed = sorted(each.plan.name for each in made if not each.passed)
    write_json(folder / MANIFEST, {**_about(run, task), "failed": failed, "networks": entries})
    os.utime(folder / MANIFEST, (EPOCH, EPOCH))
    nonces = {each.plan.name: each.plan.nonce for each in made}
    Sealed(seed, nonces, found).save(sealed / "answers.json")
    log.info("%d of %d networks passed the gate", len(entries), len(made))
    return Published.open(folder, batch_size=job.eval_batch_size)


def _about(run: Run, task: Task) -> dict[str, object]:
    """What anybody needs in order to use the networks; nothing of it depends on an answer."""
    recipe = {key: run.plain[key] for key in RECIPE}
    recipe["model"] = {**recipe["model"], "weights": None}
    limit = run.config.limit.rows
    if limit is not None:
        counts = {key: min(recipe["counterfactual"][key], limit) for key in ("n_train", "n_val", "n_test")}
        recipe["counterfactual"] = {**recipe["counterfactual"], **counts}
    recipe["seed"] = seed_of(run.config.seed, "public")
    return {"version": VERSION, "variables": list(task.variables), "recipe": recipe}
