"""Controls: the same claim where it should not hold, so that a high IIA means something.

Each runs the job's alignment again with one thing made wrong. The network is the run's own, trained or
loaded, except for `untrained`; subspaces that are trainable are fitted to it, frozen, on the same budget.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from omegaconf import ListConfig

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.policy import CounterfactualPolicy, expand_sets
from iit_lab.config import ConfigError
from iit_lab.interventions.intervention import Intervention, Place
from iit_lab.jobs.build import build_intervention, build_model
from iit_lab.jobs.session import Problem, Session
from iit_lab.jobs.targets import about
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.rotation import LowRankRotation
from iit_lab.tasks.base import Task
from iit_lab.training.evaluation import Evaluation


class Main:
    """The run's own fit, done when it is first asked for.

    Args:
        fit: does it.
    """

    def __init__(self, fit: Callable[[], Intervention | None]) -> None:
        self._fit = fit
        self._done = False
        self._intervention: Intervention | None = None

    def __call__(self) -> Intervention | None:
        """The fitted intervention; None for behaviour alone."""
        if not self._done:
            self._intervention, self._done = self._fit(), True
        return self._intervention


def none(session: Session, problem: Problem, main: Main) -> Evaluation:
    """No control: the claim itself."""
    return session.evaluate(problem, main())


def untrained(session: Session, problem: Problem, main: Main) -> Evaluation:
    """A network with its initial weights."""
    del main
    fresh = replace(problem, model=build_model(session.run.config, problem.task))
    intervention = session.intervention(fresh)
    session.fit(fresh, intervention, train_model=False)
    return session.evaluate(fresh, intervention)


def random_subspace(session: Session, problem: Problem, main: Main) -> Evaluation:
    """Random directions of the whole site, as many as each variable has."""
    fitted = _fitted(main)
    whole = replace(problem, alignment=problem.alignment.whole())
    ranks: dict[str, int] = {}
    for place in fitted.places:
        for name in place.variables:
            rank = fitted.subspace(place).directions(name).shape[1]
            ranks[name] = max(rank, ranks.get(name, 0))
    intervention = session.intervention(whole, subspace=partial(_random, ranks))
    return session.evaluate(whole, intervention)


def _random(
    ranks: Mapping[str, int],
    width: int,
    variables: tuple[str, ...],
    rank: int | None,
    generator: torch.Generator,
) -> LowRankRotation:
    del rank  # the config's, of the fitted subspace
    return LowRankRotation(width, variables, {name: ranks[name] for name in variables}, generator)


def wrong_model(session: Session, problem: Problem, main: Main) -> Evaluation:
    """Labels, bases and sources of a causal model that is wrong on purpose."""
    _fitted(main)
    task = problem.task.wrong()
    assert task is not None  # `check` has made sure
    with about("control", "wrong_model"):
        alignment = problem.alignment.renamed(task.variables)
    wrong = Problem(task, problem.model, alignment, session.draw(task, alignment, problem.model))
    intervention = session.intervention(wrong)
    session.fit(wrong, intervention, train_model=False)
    return session.evaluate(wrong, intervention)


def swapped_sources(session: Session, problem: Problem, main: Main) -> Evaluation:
    """Every variable's subspace is given the next variable's source; the labels stay."""
    groups = [group for group in problem.data.test if len(group.sources) > 1]
    mixed = [replace(group, sources=group.sources.roll(1, 0)) for group in groups]
    return session.evaluate(problem, _fitted(main), mixed)


def axis_aligned(session: Session, problem: Problem, main: Main) -> Evaluation:
    """Units instead of directions: each variable gets those that weigh most in its subspace, no unit twice.

    The localist control of Geiger et al. 2024, section 4.1 ("snapping" the learned rotation).
    """
    fitted = _fitted(main)
    snapped = iter([snap(fitted, place) for place in fitted.places])
    intervention = build_intervention(
        session.run.config, problem.alignment, problem.model, subspace=lambda **_: next(snapped)
    )
    return session.evaluate(problem, intervention)


def snap(intervention: Intervention, place: Place) -> IdentitySlice:
    """The axis-aligned subspace nearest to a fitted one: unit by unit, the largest weight first.

    A variable gets as many units as it had directions, so one that lives in units already keeps them.
    """
    subspace = intervention.subspace(place)
    columns = [subspace.directions(name) for name in place.variables]
    weights = torch.stack([each.square().sum(1) for each in columns])
    room = {name: each.shape[1] for name, each in zip(place.variables, columns, strict=True)}
    units: dict[str, list[int]] = {name: [] for name in room}
    taken: set[int] = set()
    for entry in weights.flatten().argsort(descending=True, stable=True).tolist():
        variable, unit = divmod(entry, subspace.width)
        name = place.variables[variable]
        if unit not in taken and len(units[name]) < room[name]:
            units[name].append(unit)
            taken.add(unit)
    rest = [unit for unit in range(subspace.width) if unit not in taken]
    order = [unit for chosen in units.values() for unit in chosen] + rest
    return IdentitySlice(subspace.width, place.variables, room, units=order)


def _fitted(main: Main) -> Intervention:
    intervention = main()
    if intervention is None:
        raise ConfigError("control: training on behaviour alone has no alignment to control")
    return intervention


CONTROLS: dict[str, Callable[[Session, Problem, Main], Evaluation]] = {
    "none": none,
    "untrained": untrained,
    "random_subspace": random_subspace,
    "wrong_model": wrong_model,
    "axis_aligned": axis_aligned,
    "swapped_sources": swapped_sources,
}


def check(names: Sequence[str], task: Task, alignment: Alignment, policy: CounterfactualPolicy) -> None:
    """Refuse a control that there is not, before anything is trained.

    Raises:
        ConfigError: for `wrong_model` of a task that has none, `swapped_sources` where no pair has several.
    """
    sets = expand_sets(policy.test_sets, tuple(alignment), "test_sets")
    if "swapped_sources" in names and (policy.sources == "single" or max(map(len, sets), default=0) < 2):
        raise ConfigError(
            "control=swapped_sources: no test pair has several sources; set counterfactual.sources=multi and "
            "test several variables together"
        )
    if "wrong_model" in names and task.wrong() is None:
        raise ConfigError(f"control=wrong_model: {type(task).__name__} has no wrong model for this")


def names(control: Any) -> list[str]:
    """The controls of a run, in order; the first one's metrics are `test/...`.

    Raises:
        ConfigError: for an unknown or repeated name, or an empty list.
    """
    listed = [str(name) for name in control] if isinstance(control, ListConfig | list) else [str(control)]
    if not listed or len(set(listed)) != len(listed) or any(name not in CONTROLS for name in listed):
        raise ConfigError(f"control={control}: one or several of {list(CONTROLS)}, each once")
    return listed
