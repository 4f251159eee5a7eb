"""Files that `torch.save` wrote elsewhere, which are pickles: tensors are read from them and nothing else."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch


def read_tensors(path: Path) -> Any:
    """A tensor, or plain containers of tensors and numbers.

    Raises:
        ValueError: if there is no such file, it is cut short, or holds anything else; nothing of that is run.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's version, before it is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as tensors ({str(error).splitlines()[0]})") from None
