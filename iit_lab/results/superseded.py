"""A run that is done again: what it had found is kept until there is something to put in its place."""

import shutil
from pathlib import Path

FOLDER = "superseded"
KEPT = ("iit_lab.log", "wandb", ".claim", FOLDER)
"""Histories, which go on, and what is not the run's."""


def set_aside(directory: Path) -> None:
    """Move what an earlier run has left into `superseded/`, so that nothing of it is taken for the new run's.

    What is there already, because the new run was stopped, stays; what the new run has left is removed.
    """
    aside = directory / FOLDER
    again = aside.exists()
    for path in sorted(directory.iterdir()):
        if path.name in KEPT:
            continue
        if not again:
            aside.mkdir(exist_ok=True)
            path.rename(aside / path.name)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def put_back(directory: Path) -> None:
    """Undo `set_aside`: the new run was refused."""
    aside = directory / FOLDER
    if not aside.exists():
        return
    for path in sorted(aside.iterdir()):
        target = directory / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    aside.rmdir()


def untouched(directory: Path) -> bool:
    """Whether the new run has left nothing yet but the config it was to have."""
    return {path.name for path in directory.iterdir()} <= {*KEPT, "config.json"}


def discard(directory: Path) -> None:
    """Remove what was set aside: there is a new record."""
    shutil.rmtree(directory / FOLDER, ignore_errors=True)
