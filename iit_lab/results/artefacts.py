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
    """Write `<kind>.safetensors` and `<kind>.json` into `directory`; tied weights are stored once."""
    state = {name: tensor.detach().contiguous().cpu() for name, tensor in _distinct(module).items()}
    with replacing(directory / f"{kind}.safetensors") as temporary:
        save_file(state, temporary)
    write_json(directory / f"{kind}.json", {"kind": kind, **card})


def load(directory: Path, kind: str, module: nn.Module) -> None:
    """Load what `save` wrote into a module of the same shapes.

    Raises:
        ValueError: if a file is missing, cut short, or of another module; says which tensors differ.
    """
    load_as(directory / f"{kind}.safetensors", kind, module)


def load_as(path: Path, kind: str, module: nn.Module) -> None:
    """Load weights from a file of any name.

    Raises:
        ValueError: if it is missing, cut short, or of another module; says which tensors differ.
    """
    state = _read(path)
    expected = _distinct(module)
    wrong = [
        f"{name} {_shape(state, name)} instead of {_shape(expected, name)}"
        for name in sorted(set(state) | set(expected))
        if _shape(state, name) != _shape(expected, name)
    ]
    if wrong:
        raise ValueError(f"{path}: holds another {kind}: {'; '.join(wrong[:3])}")
    module.load_state_dict({name: state[first] for name, first in _names(module).items()})


def read_card(directory: Path, kind: str) -> dict[str, Any]:
    """Read `<kind>.json`."""
    return read_json(directory / f"{kind}.json")


def _distinct(module: nn.Module) -> dict[str, Tensor]:
    """The state without a second name for what has one already, such as an embedding tied to a read-out."""
    state = module.state_dict()
    return {name: state[name] for name, first in _names(module).items() if name == first}


def _names(module: nn.Module) -> dict[str, str]:
    """The first name of what each name of the state stands for."""
    first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    return {
        name: first.setdefault((tensor.data_ptr(), tuple(tensor.shape), tensor.stride()), name)
        if tensor.numel()
        else name
        for name, tensor in module.state_dict().items()
    }


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: cannot be read, is it cut short? ({error})") from None


def _shape(state: Mapping[str, Tensor], name: str) -> str:
    if name not in state:
        return "missing"
    shape, kind = tuple(state[name].shape), str(state[name].dtype).removeprefix("torch.")
    return f"{shape}" if kind == "float32" else f"{shape} {kind}"
