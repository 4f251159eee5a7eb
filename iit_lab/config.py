"""The typed schema of a config, and where its yaml files are. Imports no torch: completion stays fast."""

import logging
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

log = logging.getLogger(__name__)


class ConfigError(ValueError):
    """Something in the config is wrong; the message begins with the key and its value."""


@dataclass
class ModelConfig:
    """A network: how it is built, what reads its prompts, its seed, weights, and whether they are trained."""

    network: dict[str, Any] = MISSING
    tokenizer: dict[str, Any] | None = None
    seed: int = MISSING
    weights: str | None = None
    trainable: bool = True


@dataclass
class HardwareConfig:
    """What a run is computed on; never part of its fingerprint."""

    accelerator: str = "cpu"
    devices: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    threads: int | None = None
    memory_gb: float | None = None
    stack_rows: int = 2048


@dataclass
class LimitConfig:
    """Ceilings that make any run small, for `debug=fast`."""

    steps: int | None = None
    rows: int | None = None


@dataclass
class Config:
    """The root. Groups whose nodes have a `_target_` are bound to its signature when the job starts."""

    job: dict[str, Any] = MISSING
    task: dict[str, Any] = MISSING
    model: ModelConfig = field(default_factory=ModelConfig)
    alignment: dict[str, Any] = MISSING
    intervention: dict[str, Any] = MISSING
    objective: dict[str, Any] = MISSING
    counterfactual: dict[str, Any] = MISSING
    optimizer: dict[str, Any] = MISSING
    scheduler: dict[str, Any] = field(default_factory=dict)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    logger: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Any] = field(default_factory=dict)
    requires: dict[str, Any] = field(default_factory=dict)
    table: dict[str, Any] | None = None
    control: Any = "none"
    seed: int = 0
    limit: LimitConfig = field(default_factory=LimitConfig)
    name: str = "run"
    tags: list[str] = field(default_factory=list)
    outputs: str = "outputs"
    optimized_metric: str | None = None
    sweep: str | None = None
    rerun: bool = False


def register_schema() -> None:
    """Make the schema known to Hydra as `base_config`, and `${either:a,b}` to yaml: b where a is null."""
    ConfigStore.instance().store(name="base_config", node=Config)
    # Hydra copies its only ConfigStore, every plugin in it, once per group that --help lists: half its time.
    setattr(ConfigStore, "__deepcopy__", lambda store, memo: store)  # noqa: B010
    OmegaConf.register_new_resolver("either", lambda a, b: b if a is None else a, replace=True)


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as plain data, references resolved.

    Raises:
        ConfigError: for a missing value or a reference to nothing.
    """
    try:
        if missing := OmegaConf.missing_keys(config):
            raise ConfigError(f"{sorted(missing)[0]}=???: a value is needed")
        container = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def typed(data: Mapping[str, Any]) -> DictConfig:
    """Plain data as a config of the schema.

    Raises:
        ValueError: if they are not one.
    """
    try:
        config = OmegaConf.merge(OmegaConf.structured(Config), dict(data))
    except OmegaConfBaseException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    assert isinstance(config, DictConfig)
    return config


def conf_dir() -> Path:
    """The folder of yaml files: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return next(path for path in (package / "conf", package.parent / "conf") if path.is_dir())


class CheckOutputs(Callback):
    """Refuses a run directory that cannot be written, in one line, before Hydra tries to make it."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try the run's directory."""
        _refuse_unwritable("hydra.run.dir", config.hydra.run.dir)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try the sweep's name and directory, and make the latter: a study's file may have to lie there."""
        if config.sweep is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", config.sweep):
            log.error("sweep=%s: is a folder's name, of letters, digits, dots, dashes and _", config.sweep)
            sys.exit(1)
        _refuse_unwritable("hydra.sweep.dir", config.hydra.sweep.dir)
        Path(config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)


def _refuse_unwritable(key: str, directory: str) -> None:
    existing = Path(directory).absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            return
    except OSError as error:
        log.error("%s=%s: cannot be written (%s); name another folder", key, directory, error.strerror)
        sys.exit(1)
