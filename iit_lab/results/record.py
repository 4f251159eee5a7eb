"""A run's record: `config.json` when it begins, `result.json` when it is done."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

import iit_lab
from iit_lab.results.files import read_json, write_json

SCHEMA_VERSION = 1
OUTSIDE = (
    *("hardware", "logger", "callbacks", "outputs", "sweep", "rerun", "tags", "name", "optimized_metric"),
    "table",
)
"""Keys of a config that do not change what a run computes."""
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "transformer-lens", "pyvene", "wandb", "numpy")


def fingerprint(config: Mapping[str, Any]) -> str:
    """A hash of everything in a resolved config that changes what the run computes."""
    relevant = {key: value for key, value in config.items() if key not in OUTSIDE}
    text = json.dumps(_normal(relevant), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _normal(value: Any) -> Any:
    """The same config without what is computed elsewhere: nested configs have an outside of their own."""
    if isinstance(value, Mapping):
        nested = "job" in value and "task" in value
        return {k: _normal(v) for k, v in value.items() if not (nested and k in OUTSIDE)}
    return [_normal(item) for item in value] if isinstance(value, list | tuple) else value


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Dotted keys at which two plain configs differ, apart from those outside the fingerprint."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(set(one) | set(other))
        return [
            found
            for key in keys
            if fingerprint({key: one.get(key)}) != fingerprint({key: other.get(key)})
            for found in differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [path]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version(), "iit-lab": iit_lab.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def code_version() -> dict[str, Any]:
    """Git commit of the checkout that runs, and whether it has uncommitted changes; empty elsewhere."""
    root = Path(iit_lab.__file__).parent.parent
    if not (root / ".git").exists():
        return {}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (subprocess.SubprocessError, OSError):
        return {}


def write_config(directory: Path, config: Mapping[str, Any], overrides: list[str]) -> None:
    """Write `config.json`."""
    write_json(
        directory / "config.json",
        {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": fingerprint(config),
            "config": dict(config),
            "overrides": overrides,
        },
    )


def read_config(directory: Path) -> dict[str, Any]:
    """Read `config.json`.

    Raises:
        ValueError: if it is missing, cut short, or of another version.
    """
    return _checked(directory / "config.json", ("config", "fingerprint"))


def write_result(
    directory: Path,
    config: Mapping[str, Any],
    overrides: list[str],
    metrics: Mapping[str, float],
    timing: Mapping[str, float],
    files: Mapping[str, str],
    notes: list[str],
) -> None:
    """Write `result.json`; a directory without one is unfinished.

    Args:
        directory: of the run.
        config: resolved.
        overrides: as typed.
        metrics: deterministic fractions.
        timing: seconds.
        files: what else the run left, by role, relative to `directory`.
        notes: what a reader of the numbers must know.

    Raises:
        ValueError: if a metric is not finite.
    """
    broken = sorted(name for name, value in metrics.items() if not isfinite(value))
    if broken:
        raise ValueError(f"metrics {broken} are not finite")
    write_json(
        directory / "result.json",
        {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": fingerprint(config),
            "config": dict(config),
            "overrides": overrides,
            "seed": config["seed"],
            "code": code_version(),
            "versions": versions(),
            "metrics": dict(metrics),
            "timing": dict(timing),
            "files": dict(files),
            "notes": notes,
        },
    )


def read_result(directory: Path) -> dict[str, Any]:
    """Read `result.json`; errors as in `read_config`."""
    return _checked(directory / "result.json", ("metrics", "config", "fingerprint"))


def _checked(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    data = read_json(path)
    if data.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(
            f"{path}: schema_version={data.get('schema_version')}, this iit_lab reads {SCHEMA_VERSION}"
        )
    missing = [key for key in keys if key not in data]
    if missing:
        raise ValueError(f"{path}: lacks {missing}")
    return data
