"""Configs that somebody else may have written: what they may build.

A config names what is called. One read from a run, a hub folder or a submission is data from outside, and
may name only components of this package, torch's optimisers, and packages that the user trusts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from iit_lab.config import ConfigError
from iit_lab.jobs.targets import locate, nodes

ROOMS = (
    "alignment",
    "causal",
    "interventions",
    "models",
    "objectives",
    "subspaces",
    "tasks",
    "training",
)
ALLOWED = (
    *(f"iit_lab.{room}." for room in ROOMS),
    "iit_lab.jobs.train.",
    "iit_lab.jobs.align.",
    "iit_lab.jobs.evaluate.",
    "torch.optim.",
)


def check_untrusted(config: Mapping[str, Any], where: str, trust: tuple[str, ...] = ()) -> None:
    """Refuse a config that somebody else may have written, unless it builds only what is harmless.

    Building a node calls its target. Only components of `iit_lab`, defined where they are named, optimisers
    of torch, and packages the user trusts may be named; interpolations (which can read the environment) may
    not occur.

    Args:
        config: as read, not resolved.
        where: its file, for the message.
        trust: packages the user has named.

    Raises:
        ConfigError: naming the first offence.
    """
    for path, text in _strings(config):
        if "${" in text:
            raise ConfigError(f"{where}: {path}={text}: an interpolation is not allowed here")
    for path, node in nodes(config):
        name = str(node["_target_"])
        trusted = any(name == package or name.startswith(f"{package}.") for package in trust)
        if trusted:
            continue
        if not name.startswith(ALLOWED):
            raise ConfigError(
                f"{where}: {path}._target_={name}: not allowed from a file; only components of iit_lab and "
                "torch.optim are, or packages named in job.trust"
            )
        target = locate(f"{where}: {path}._target_", name)
        home = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
        if not home.startswith(ALLOWED) or (name != home and not name.startswith("torch.optim.")):
            raise ConfigError(
                f"{where}: {path}._target_={name}: not allowed from a file; it is really {home}"
            )


def _strings(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _strings(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, list | tuple):
        for i, value in enumerate(config):
            yield from _strings(value, f"{path}[{i}]")
    elif isinstance(config, str):
        yield path, config
