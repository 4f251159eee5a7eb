"""Making a benchmark: alignments are drawn, all networks trained together, the good ones published."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytorch_lightning as pl

from iit_lab.alignment.sampling import AlignmentSpace
from iit_lab.benchmark import draw
from iit_lab.benchmark.claims import intervention_at
from iit_lab.benchmark.draw import Planned
from iit_lab.benchmark.scoring import NetworkScore, score
from iit_lab.causal.batch import InterchangeBatch
from iit_lab.causal.policy import CounterfactualPolicy, expand_sets
from iit_lab.jobs import benchmark_score
from iit_lab.jobs.base import Outcome, Run
from iit_lab.jobs.benchmark_publish import Made, publish
from iit_lab.jobs.build import build_model, build_objective, build_policy, build_task, set_threads
from iit_lab.jobs.lightning import build_callbacks, find_checkpoint, find_device, make_trainer, run_trainer
from iit_lab.jobs.published import MANIFEST, Published, Scored
from iit_lab.jobs.session import FitSettings, Session
from iit_lab.jobs.targets import at, make
from iit_lab.models.base import StagedModel
from iit_lab.tasks.base import Task
from iit_lab.training.callbacks import KeepTermination, Remaining
from iit_lab.training.data import draw_splits
from iit_lab.training.members import Member
from iit_lab.training.population import PopulationModule, Streams

if TYPE_CHECKING:
    from iit_lab.jobs.benchmark import Benchmark

log = logging.getLogger(__name__)


def generate(job: Benchmark, run: Run) -> Outcome:
    """Draw, train, test, publish and seal; then the first rows of the leaderboard.

    Raises:
        ConfigError: for alignments that there are not, or training sets that are no list of variables.
    """
    task, policy = build_task(run.config), build_policy(run.config)
    shape = build_model(run.config, task)
    set_threads(run.config, shape)
    with at("counterfactual"):
        sets = _training_sets(policy, task.variables)
    with at("job.alignments"):
        space = AlignmentSpace(shape, task.variables, **draw.kinds(make(job.alignments)))
    sealed, home = run.directory / "sealed", run.home or run.directory
    with at("job"):
        seed, planned = draw.plan(space, job.n, len(sets), job.seed, home / "sealed" / "draw.json")
    if job.seed is not None:
        log.warning(
            "job.seed=%d: whoever guesses it can find the answers; give none for a benchmark", job.seed
        )
    log.info("%d of %d alignments, %d networks", job.n, space.count, len(planned))
    models = [_network(run, task, each) for each in planned]
    session = Session(run, job.eval_batch_size, _settings(job))
    failed = True
    metrics: dict[str, float] = {}
    try:
        gate = _train(job, run, session, task, policy, sets, seed, planned, models)
        made = [
            Made(each, model, sets[each.trained], _passes(job, run, each, model, sets[each.trained], gate))
            for each, model in zip(planned, models, strict=True)
        ]
        published = publish(job, run, task, made, seed, sealed)
        outcome = _report(job, run, published, made)
        outcome.timing |= session.timing
        outcome.metrics["passed"] = sum(each.passed for each in made) / len(made)
        outcome.files |= {"manifest": f"published/{MANIFEST}"}
        metrics, failed = outcome.metrics, False
        return outcome
    finally:
        session.close(metrics, [], failed=failed)


def _training_sets(policy: CounterfactualPolicy, variables: Sequence[str]) -> list[tuple[str, ...]]:
    sets = expand_sets(policy.train_sets, variables, "train_sets")
    if not sets:
        raise ValueError(
            f"train_sets={policy.train_sets}: each alignment has a network for every set of them"
        )
    tested = [set(names) for names in expand_sets(policy.test_sets, variables, "test_sets")]
    missing = [list(names) for names in sets if set(names) not in tested]
    if missing:
        raise ValueError(f"test_sets={policy.test_sets}: lacks {missing[0]}, on which networks are trained")
    return sets


def _settings(job: Benchmark) -> FitSettings:
    """As of any other training; without validation, which would stop all networks for one."""
    return FitSettings(
        batch_size=job.batch_size,
        max_epochs=job.max_epochs,
        max_steps=job.max_steps,
        patience=None,
        monitor="",
        gradient_clip=job.gradient_clip,
        log_every=job.log_every,
        steps_per_call=job.steps_per_call,
    )


def _network(run: Run, task: Task, planned: Planned) -> StagedModel:
    config = run.config.copy()
    config.model.seed = planned.seed
    return build_model(config, task)


def _train(
    job: Benchmark,
    run: Run,
    session: Session,
    task: Task,
    policy: CounterfactualPolicy,
    sets: Sequence[tuple[str, ...]],
    seed: int,
    planned: Sequence[Planned],
    models: Sequence[StagedModel],
) -> list[InterchangeBatch]:
    """Train all networks together; the pairs of the quality gate."""
    config = run.config
    limit = config.limit.rows
    streams, gate = [], []
    for names in sets:
        smaller = [list(each) for each in sets if set(each) < set(names)] if policy.mixed else []
        own = replace(policy, train_sets=[*smaller, list(names)])
        with at("counterfactual"):
            splits = draw_splits(task, own, task.variables, seed, limit=limit)
        gate = list(splits.val)
        streams.append(session.batches(splits.train, seed))
    batches = Streams(streams)
    members = [
        Member(model, intervention_at(model, each.claims), each.trained)
        for each, model in zip(planned, models, strict=True)
    ]
    module = PopulationModule(
        members,
        build_objective(config),
        session.factory("optimizer"),
        session.scheduler(batches.total_steps),
        gradient_clip=job.gradient_clip,
        log_every=job.log_every,
    )
    pl.seed_everything(config.seed, verbose=False)
    callbacks = [
        KeepTermination(),
        Remaining(batches.total_steps),
        *build_callbacks(config.callbacks, run.directory),
    ]
    trainer = make_trainer(config.hardware, batches.epochs, loggers=session.loggers, callbacks=callbacks)
    run_trainer(trainer, module, batches, None, find_checkpoint(run.home or run.directory))
    return gate


def _passes(
    job: Benchmark,
    run: Run,
    planned: Planned,
    model: StagedModel,
    trained: tuple[str, ...],
    gate: Sequence[InterchangeBatch],
) -> bool:
    """Whether accuracy and the IIA of every set that it was trained on are as high as asked."""
    model.eval().requires_grad_(False)
    own = [group for group in gate if set(group.variables) <= set(trained)]
    found: NetworkScore = score(
        model, planned.claims, own, job.eval_batch_size, find_device(run.config.hardware)
    )
    least = min(each.iia for each in found.sets.values())
    return found.accuracy >= job.gate.get("accuracy", 0.0) and least >= job.gate.get("iia", 0.0)


def _report(job: Benchmark, run: Run, published: Published, made: Sequence[Made]) -> Outcome:
    """The true and a wrong alignment, and those that are found by search."""
    passed = [each for each in made if each.passed]
    truth = {each.plan.name: each.plan.claims for each in passed}
    wrong = {each.plan.name: draw.elsewhere(each.plan.claims, each.model, each.trained) for each in passed}
    scored: list[Scored] = []
    for name, claims in (("true", truth), ("elsewhere", wrong)):
        scored.append(benchmark_score.score_claims(published, name, claims, truth, run))
        log.info("%s places\n%s", name, scored[-1].text)
    for method in job.baselines:
        claims = benchmark_score.find(job, published, method)
        benchmark_score.save_submission(run.directory / "baselines" / f"{method}.yaml", claims)
        scored.append(benchmark_score.score_claims(published, method, claims, truth, run))
    outcome = benchmark_score.report(run.directory, scored)
    for each in scored[:2]:
        outcome.metrics |= _by_training(published, each)
    return outcome


def _by_training(published: Published, scored: Scored) -> dict[str, float]:
    """Mean and least IIA, by what networks were trained on and what was intervened in."""
    groups: dict[str, list[float]] = {}
    for name, own in scored.networks.items():
        trained = published.manifest["networks"][name]["trained"]
        groups.setdefault(f"{scored.name}/trained_on/{trained}/accuracy", []).append(own.accuracy)
        for variables, each in own.sets.items():
            groups.setdefault(f"{scored.name}/trained_on/{trained}/iia/{variables}", []).append(each.iia)
    mean = {key: sum(values) / len(values) for key, values in groups.items()}
    return mean | {f"{key}/least": min(values) for key, values in groups.items()}
