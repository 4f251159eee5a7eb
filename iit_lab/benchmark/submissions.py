"""Submissions: files in which somebody says where the variables of black-box networks live."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Plain data only, no key twice, and no aliases, with which a small file can stand for a huge one."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As it is, but for aliases."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="an alias is not allowed", problem_mark=mark)
        return super().compose_node(parent, index)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
        key = str(key_node.value)
        if key in found:
            raise yaml.MarkedYAMLError(problem=f"{key} is there twice", problem_mark=key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path) -> dict[str, Any]:
    """A submission as plain data, network -> variable -> sites.

    Args:
        path: YAML, or JSON if its name ends so.

    Raises:
        ValueError: saying at which line and column the file is malformed, or that it holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text (byte {error.start})") from None
    try:
        data = _json(text) if path.suffix == ".json" else _yaml(text)
    except RecursionError:
        raise ValueError("malformed: nested too deeply") from None
    if not isinstance(data, Mapping) or not data:
        raise ValueError("holds no networks; write network: variable: sites")
    return {str(name): claims for name, claims in data.items()}


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise ValueError(f"malformed at {where}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"malformed: {str(error).splitlines()[0]}") from None


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"malformed: {name} is there twice")
            found[name] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"malformed at line {error.lineno}, column {error.colno}: {error.msg}") from None


def check(data: Mapping[str, Any], required: Mapping[str, tuple[str, ...]], known: tuple[str, ...]) -> None:
    """Make sure that a submission is about networks and variables that there are.

    Args:
        data: as read.
        required: of each network, the variables that it was trained for.
        known: all variables.

    Raises:
        ValueError: naming the entries.
    """
    unknown = [name for name in data if name not in required]
    if unknown:
        some = sorted(required)[:3]
        raise ValueError(f"{unknown[0]}: there is no such network; there are {len(required)}, such as {some}")
    for name, claims in data.items():
        if not isinstance(claims, Mapping):
            raise ValueError(f"{name}={claims}: write variable: sites")
        strange = [variable for variable in claims if variable not in known]
        if strange:
            raise ValueError(f"{name}.{strange[0]}: there is no such variable; there are {list(known)}")
        missing = [variable for variable in required[name] if variable not in claims]
        if missing:
            raise ValueError(f"{name}: {missing} missing; it was trained for {list(required[name])}")
