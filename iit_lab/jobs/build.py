"""Turning a checked config into objects. What a node needs from the run is passed to it here."""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from iit_lab.alignment.alignment import Alignment
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.interventions.intervention import Intervention
from iit_lab.jobs.targets import about, at, make
from iit_lab.models.base import StagedModel
from iit_lab.models.tokenizers import Tokenizer
from iit_lab.objectives.base import Objective
from iit_lab.randomness import generator_for
from iit_lab.results import artefacts
from iit_lab.results.files import read_json
from iit_lab.tasks.base import Task
from iit_lab.training.adversary import Adversary

TINY = 1_000_000
THREADS = torch.get_num_threads()


def build(node: DictConfig | Mapping[str, Any], **runtime: Any) -> Any:
    """Instantiate a node; a partial one is called with what it takes of what the run gives it."""
    built = make(node)
    if not node.get("_partial_"):
        return built
    return built(**{key: value for key, value in runtime.items() if _takes(built, key)})


def _takes(function: Any, argument: str) -> bool:
    if not callable(function):
        return False
    parameters = signature(function).parameters
    return argument in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def build_tokenizer(config: DictConfig) -> Tokenizer | None:
    """The network's tokenizer, if it reads text."""
    if config.model.tokenizer is None:
        return None
    with at("model.tokenizer"):
        return build(config.model.tokenizer)


def build_task(config: DictConfig) -> Task:
    """The task; one of prompts encodes them with the network's tokenizer."""
    tokenizer = build_tokenizer(config)
    with at("task"):
        if tokenizer is not None and not _takes(make(config.task), "tokenizer"):
            raise ValueError("has no prompts, which this network reads; use one without model.tokenizer")
        return build(config.task, tokenizer=tokenizer)


def build_model(config: DictConfig, task: Task) -> StagedModel:
    """The network with its initial weights."""
    tokenizer = build_tokenizer(config)
    known: dict[str, Any] = {}
    if tokenizer is not None:
        known["vocabulary"] = len(tokenizer)
    with at("model.network"):
        if tokenizer is not None and task.answers and _takes(make(config.model.network), "answers"):
            known["answers"] = tokenizer.single(task.answers)
        return build(
            config.model.network,
            input_shape=task.input_shape,
            n_classes=task.n_classes,
            generator=generator_for(config.model.seed, "network"),
            **known,
        )


def build_alignment(config: DictConfig, task: Task, model: StagedModel) -> Alignment:
    """Variable -> sites, all of which the network has."""
    with at("alignment"):
        return build(config.alignment, available=task.variables).checked(model)


def build_intervention(
    config: DictConfig, alignment: Alignment, model: StagedModel, **changes: Any
) -> Intervention:
    """The write and subspaces of `intervention`, at an alignment's sites.

    Args:
        config: of the run.
        alignment: where.
        model: the network.
        changes: arguments that a control puts in place of the config's.
    """
    generator = generator_for(config.seed, "intervention")
    with at("intervention"):
        return build(config.intervention, alignment=alignment, model=model, generator=generator, **changes)


def build_policy(config: DictConfig) -> CounterfactualPolicy:
    """How data are drawn."""
    with at("counterfactual"):
        return build(config.counterfactual)


def build_objective(config: DictConfig) -> Objective:
    """The losses."""
    with at("objective"):
        return build(config.objective)


def build_adversary(config: DictConfig, alignment: Alignment, model: StagedModel) -> Adversary | None:
    """Who looks elsewhere for what is aligned; None where the objective knows nobody."""
    make_adversary = build_objective(config).adversary
    if make_adversary is None:
        return None
    with at("objective.adversary"):
        generator = generator_for(config.seed, "adversary")
        return make_adversary(variables=tuple(alignment), model=model, generator=generator)


def set_threads(config: DictConfig, model: StagedModel, processes: int = 1, *, splits: bool = False) -> None:
    """As `hardware.threads` says; by default one for a tiny network, whose work does not split.

    Args:
        config: of the run.
        model: the network.
        processes: that share this machine, besides those of `hardware.devices`.
        splits: whether the work does so whatever the network's size, as many rows do that need no gradients.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    threads = config.hardware.threads
    if threads is None:
        threads = (
            1
            if parameters < TINY and not splits and not model.splits
            else max(1, THREADS // (config.hardware.devices * processes))
        )
    elif threads < 1:
        with at("hardware"):
            raise ValueError(f"threads={threads}: must be at least 1")
    torch.set_num_threads(threads)


def find_network(directory: Path) -> Path:
    """The folder that holds a run's network: its own, or that of the run it used.

    Raises:
        ValueError: if `directory` holds no network.
    """
    result = directory / "result.json"
    if result.is_file():
        files = read_json(result).get("files", {})
        elsewhere = files.get("network") if isinstance(files, dict) else None
        if isinstance(elsewhere, str):
            return (directory / elsewhere).resolve().parent
    if (directory / "network.safetensors").is_file():
        return directory
    raise ValueError(f"{directory}: holds no network.safetensors; name the directory of a finished run")


def load_network(model: StagedModel, directory: str | Path, key: str) -> Path:
    """Load a run's weights.

    Args:
        model: of the same shapes.
        directory: of the run.
        key: the config key that named it.

    Raises:
        ConfigError: if there are none, or they are cut short or of another network.
    """
    with about(key, directory):
        found = find_network(Path(directory))
        artefacts.load(found, "network", model)
    return found
