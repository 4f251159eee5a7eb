"""Released networks and alignments: weights as safetensors, what they are as JSON. Never pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from iit_lab.results.files import read_json, replacing, write_json

KINDS = ("network", "alignment")


def save(directory: Path, kind: str, module: nn.Module, card: Mapping[str, Any]) -> None:
    """Write `<kind>.safetensors` and `<kind>.json` into `directory`."""
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in module.state_dict().items()}
    with replacing(directory / f"{kind}.safetensors") as temporary:
        save_file(state, temporary)
    write_json(directory / f"{kind}.json", {"kind": kind, **card})


def load(directory: Path, kind: str, module: nn.Module) -> None:
    """Load what `save` wrote into a module of the same shapes.

    Raises:
        ValueError: if a file is missing, cut short, or of another module; says which tensors differ.
    """
    path = directory / f"{kind}.safetensors"
    state = _read(path)
    expected = module.state_dict()
    wrong = [
        f"{name} {_shape(state, name)} instead of {_shape(expected, name)}"
        for name in sorted(set(state) | set(expected))
        if _shape(state, name) != _shape(expected, name)
    ]
    if wrong:
        raise ValueError(f"{path}: holds another {kind}: {'; '.join(wrong[:3])}")
    module.load_state_dict(state)


def read_card(directory: Path, kind: str) -> dict[str, Any]:
    """Read `<kind>.json`."""
    return read_json(directory / f"{kind}.json")


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: cannot be read, is it cut short? ({error})") from None


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, ...] | str:
    return tuple(state[name].shape) if name in state else "missing"
