"""Binding config nodes to what they build: unknown keys and wrong types are found before any work starts.

Hydra itself would find a misspelt key only when it instantiates the node, and of a partial never.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any, get_type_hints

from beartype import BeartypeConf
from beartype.door import is_bearable
from beartype.roar import BeartypeException
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from iit_lab.config import ConfigError

_BEGINS_WITH_A_KEY = re.compile(r"[\w.\[\]]+(=|: )")
SPECIAL = ("_target_", "_partial_", "_convert_", "_recursive_")
BEARTYPE = BeartypeConf(is_pep484_tower=True)


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node of a plain config that has a `_target_`, with its dotted path."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield path, config
        for key, value in config.items():
            yield from nodes(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, list | tuple):
        for i, value in enumerate(config):
            yield from nodes(value, f"{path}[{i}]")


def check_targets(config: Mapping[str, Any]) -> None:
    """Bind every `_target_` node, partial ones too, to its target's signature.

    Raises:
        ConfigError: for a target that cannot be imported, an unknown key, or a value of the wrong type.
    """
    for path, node in nodes(config):
        _check(path, node)


def _check(path: str, node: Mapping[str, Any]) -> None:
    target = locate(f"{path}._target_", node["_target_"])
    arguments = {key: value for key, value in node.items() if key not in SPECIAL}
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key, value in arguments.items():
            if key not in parameters:
                raise ConfigError(f"{path}.{key}={value}: {_name(target)} takes {sorted(parameters)}")
    hints = _hints(target)
    for key, value in arguments.items():
        if key in hints and not any(nodes(value)) and not _fits(value, hints[key]):
            raise ConfigError(f"{path}.{key}={value}: {_name(target)} takes {_readable(hints[key])}")


def locate(path: str, target: Any) -> Callable[..., Any]:
    """Import a target by its dotted name.

    Raises:
        ConfigError: if there is no such thing.
    """
    if not isinstance(target, str):
        raise ConfigError(f"{path}={target}: a target is a dotted name")
    parts = target.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:end])
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module == error.name or module.startswith(error.name + ".")):
                continue
            raise ConfigError(f"{path}={target}: importing it failed: {error}") from error
        try:
            for part in parts[end:]:
                found = getattr(found, part)
        except AttributeError:
            break
        if callable(found):
            return found
        break
    raise ConfigError(f"{path}={target}: cannot be imported; is the name right, and its package installed?")


def make(node: Any) -> Any:
    """Instantiate a node and those below it; a partial one gives a callable.

    Raises:
        ConfigError: for what its target refuses, under the node's own path.
    """
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        path, cause = str(error).rpartition("full_key: ")[2].strip(), error.__cause__
        if isinstance(cause, ValueError):
            raise ConfigError(f"{path}.{cause}") from error
        if isinstance(cause, TypeError):
            raise ConfigError(f"{path}: {cause}") from error
        raise


def at(path: str) -> AbstractContextManager[None]:
    """Errors raised inside are about keys under `path`: `rank=0: ...` becomes `intervention.rank=0: ...`.

    Raises:
        ConfigError: in place of any ValueError.
    """
    return _prefixed(lambda message: f"{path}{'.' if _BEGINS_WITH_A_KEY.match(message) else ': '}{message}")


def about(key: str, value: Any) -> AbstractContextManager[None]:
    """Errors raised inside are about what `key=value` names, such as a file that cannot be read.

    Raises:
        ConfigError: in place of any ValueError.
    """
    return _prefixed(lambda message: f"{key}={value}: {message}")


@contextmanager
def _prefixed(prefix: Callable[[str], str]) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(prefix(str(error))) from error


def _name(target: Callable[..., Any]) -> str:
    return getattr(target, "__qualname__", str(target))


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value has a type; beartype looks at one element only, so each gets its turn."""
    parts = [value]
    if isinstance(value, list):
        parts += [[item] for item in value]
    elif isinstance(value, Mapping):
        parts += [{key: item} for key, item in value.items()]
    try:
        return all(is_bearable(part, hint, conf=BEARTYPE) for part in parts)
    except BeartypeException:
        return True


def _readable(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) else str(hint).replace("typing.", "")
