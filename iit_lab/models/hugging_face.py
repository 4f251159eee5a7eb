"""Networks of Hugging Face: from a folder, a package, the hub, or initialised at random."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from iit_lab.randomness import seeding

PACKAGE = "package:"


def located(name: str) -> str:
    """A folder or hub name as it is; `package:NAME/FOLDER` as the folder inside an installed package.

    Raises:
        ValueError: if there is no such package or folder.
    """
    if not name.startswith(PACKAGE):
        return name
    package, _, folder = name.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package) if package.isidentifier() else None  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        distribution = package.replace("_", "-")
        raise ValueError(f"{name}: package {package} is not installed; pip install {distribution}")
    path = Path(spec.submodule_search_locations[0]) / folder
    if not path.is_dir():
        raise ValueError(f"{name}: package {package} has no folder {folder}")
    return str(path)


def made(
    kind: Any,
    settings_kind: Any,
    pretrained: str | None,
    config: Mapping[str, Any] | None,
    vocabulary: int | None,
    labels: Mapping[str, Any],
    generator: torch.Generator,
) -> Any:
    """A model of one architecture.

    Args:
        kind: its class.
        settings_kind: the class of its config.
        pretrained: folder, package or hub name to load from.
        config: of a network initialised at random: keys of `settings_kind`.
        vocabulary: entries of the tokenizer; size of the embedding where `config` names none.
        labels: keys of the config that the task decides.
        generator: source of the weights that are not loaded.

    Raises:
        ValueError: unless exactly one of `pretrained` and `config` is given; if it cannot be loaded, is of
            another architecture, or has fewer entries than the tokenizer.
    """
    if (pretrained is None) == (config is None):
        raise ValueError(f"pretrained={pretrained}: give either this, or a config to initialise")
    if pretrained is not None:
        hf = _load(kind, settings_kind, pretrained, labels, generator)
    else:
        size = {} if vocabulary is None else {"vocab_size": vocabulary}
        chosen = {**size, **(config or {})}
        known = settings_kind().to_dict()
        for key in sorted(set(chosen) - set(known)):
            raise ValueError(f"config.{key}={chosen[key]}: {settings_kind.__name__} has no such key")
        try:
            settings = settings_kind(**chosen, **labels)
            with seeding(generator):
                hf = kind(settings)
        except (ArithmeticError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"config={dict(config or {})}: {type(error).__name__} {error}") from error
    if vocabulary is not None and vocabulary > hf.config.vocab_size:
        raise ValueError(f"vocab_size={hf.config.vocab_size}: the tokenizer has {vocabulary} entries")
    return hf


def _load(
    kind: Any, settings_kind: Any, name: str, labels: Mapping[str, Any], generator: torch.Generator
) -> Any:
    wanted = settings_kind.model_type
    try:
        folder = located(name)
        settings = settings_kind.from_pretrained(folder, **labels)
        if settings.model_type != wanted:
            raise ValueError(f"is a {settings.model_type}, not a {wanted}; the bridge runs other decoders")
        with seeding(generator), quiet():
            return kind.from_pretrained(folder, config=settings).float()
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"pretrained={name}: {str(error).strip().splitlines()[0]}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without Hugging Face's bar, and its report on weights that a new head does not find in the file."""
    from transformers.utils import logging as reports

    before, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    try:
        yield
    finally:
        reports.set_verbosity(before)
        if bars:
            reports.enable_progress_bar()
