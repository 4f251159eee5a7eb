"""Where a sweep lies and which cells it has."""

from pathlib import Path

INSIDE = "cells"
"""Where a grid of alignments keeps its cells."""


def find_sweep(outputs: str | Path, name: str | None) -> Path:
    """The folder of a sweep.

    Args:
        outputs: folder below which everything is written.
        name: of the sweep; an absolute path is itself.

    Raises:
        ValueError: if there is no such sweep; says which there are.
    """
    folder = Path(outputs) / "sweeps"
    there = sorted(path.name for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    known = f"there are: {', '.join(there)}" if there else "there are none"
    if not name:
        raise ValueError(f"sweep={name or 'null'}: name the sweep; in {folder} {known}")
    if not (folder / name).is_dir():
        raise ValueError(f"sweep={name}: there is no such sweep in {folder}; {known}")
    return folder / name


def cells(directory: Path) -> list[Path]:
    """Folders of a sweep's cells, sorted; a grid of alignments counts as the cells inside it."""
    found = sorted(path.parent for path in directory.glob("*/config.json"))
    there = [path for path in found if not path.name.startswith(".")]
    return [cell for path in there for cell in (cells(path / INSIDE) if (path / INSIDE).is_dir() else [path])]
