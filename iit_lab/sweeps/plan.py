"""What a sweep still has to do: finished cells are left alone, and a cell is never mistaken for another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iit_lab.results import superseded
from iit_lab.results.record import differences, fingerprint, read_config, read_result, write_config
from iit_lab.sweeps import failures
from iit_lab.sweeps.claim import ClaimedError, claim, claimed


@dataclass(frozen=True)
class Cell:
    """One point of a sweep.

    Args:
        directory: its own.
        overrides: `key=value`, as typed, for this cell.
        config: composed and resolved.
    """

    directory: Path
    overrides: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What its overrides call it."""
        return self.directory.name


def finished(cell: Cell) -> bool:
    """Whether the cell's directory holds this very cell, done.

    Raises:
        ValueError: if what it holds is another cell's, of another version, or cannot be read.
    """
    record = cell.directory / "result.json"
    if not (cell.directory / "config.json").exists():
        if record.exists():
            raise ValueError(f"{record}: lies beside no config.json; rerun=true does the cell again")
        return False
    begun = read_config(cell.directory)
    same = begun["fingerprint"] == fingerprint(cell.config)
    state = (
        "finished" if record.exists() else "begun" if (cell.directory / "checkpoints").exists() else "planned"
    )
    if not same and not (
        state == "planned" and failures.read(cell.directory)
    ):  # a mistake that is mended now
        keys = ", ".join(describe(begun["config"], cell.config)[:6])
        raise ValueError(
            f"{cell.directory}: {state} with another config, they differ in {keys}; name another sweep, "
            "or do the cells again with rerun=true"
        )
    if record.exists():
        read_result(cell.directory)
        return True
    return False


def describe(one: Any, other: Any) -> list[str]:
    """`key (one's value -> other's)` for every key in which two configs differ."""
    return [f"{key} ({_value(one, key)} -> {_value(other, key)})" for key in differences(one, other)]


def prepare(
    cells: Sequence[Cell], waiting: Mapping[str, str], *, rerun: bool
) -> tuple[list[Cell], list[Cell]]:
    """Sort out what is to be run, and write down what it is.

    Nothing is written if any cell is refused.

    Args:
        cells: of the sweep.
        waiting: names of cells that are queued or running in SLURM.
        rerun: whether finished cells are done again.

    Returns:
        Cells to run, and finished ones. The rest is queued or running.

    Raises:
        ValueError: as `finished` does, for the first cell that is refused.
    """
    free = [cell for cell in cells if cell.name not in waiting]
    if rerun:
        return [cell for cell in free if _begin(cell, anew=True)], []
    done = {cell.name for cell in cells if finished(cell)}
    todo = [cell for cell in free if cell.name not in done and _begin(cell, anew=False)]
    return todo, [cell for cell in cells if cell.name in done]


def _begin(cell: Cell, *, anew: bool) -> bool:
    """Write the cell's `config.json`; False if somebody works on the cell at this moment."""
    if claimed(cell.directory):
        return False
    try:
        with claim(cell.directory):
            if anew:
                superseded.set_aside(cell.directory)
            failures.clear(cell.directory)
            write_config(cell.directory, {**cell.config, "rerun": False}, list(cell.overrides))
    except ClaimedError:
        return False
    return True


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return "nothing"
        config = config[part]
    return config
