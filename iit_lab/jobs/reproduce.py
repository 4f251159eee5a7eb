"""`job=reproduce`: a table of a paper, ours beside the published numbers; runs that are missing are made."""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from hydra.core.hydra_config import HydraConfig

from iit_lab.config import ConfigError
from iit_lab.jobs.base import Job, Run
from iit_lab.jobs.build import build
from iit_lab.jobs.targets import at
from iit_lab.results import figures, paper_text
from iit_lab.results.files import replacing
from iit_lab.results.paper import PaperTable, Sweep, entries
from iit_lab.results.record import OUTSIDE
from iit_lab.results.tables import to_latex, to_markdown
from iit_lab.sweeps.names import cell_name

log = logging.getLogger(__name__)
OWN = ("job", "table")
"""Groups of the command that its runs do not get."""


@dataclass(frozen=True)
class Reproduce(Job):
    """Make the runs of a table as `iit-lab -m` would, then write the table.

    Args:
        run_missing: whether runs that are missing are made; otherwise the table shows what there is.
        seeds: instead of the table's own; None for these.
    """

    run_missing: bool = True
    seeds: Sequence[int] | None = None

    recorded: ClassVar[bool] = False

    def perform(self, run: Run) -> None:
        """One sweep per named run, then `outputs/tables/<name>/table.{md,tex,csv}` and its figure.

        Raises:
            ConfigError: if `table` names none, or cells failed.
        """
        if run.config.table is None:
            raise ConfigError("table=null: name a table of conf/table, such as table=das_equality")
        if any(text.lstrip("+").startswith("seed=") for text in run.overrides):
            raise ConfigError(f"seed={run.config.seed}: a table has seeds of its own; use job.seeds=[...]")
        with at("table"):
            table: PaperTable = build(run.config.table)
        variant = _variant(run.overrides)
        failed = [
            name
            for name, sweep in table.runs.items()
            if self.run_missing and not self._make(run, table, f"{name}{variant}", sweep)
        ]
        sweeps = Path(run.config.outputs) / "sweeps"
        folders = {name: sweeps / _sweep(table, f"{name}{variant}") for name in table.runs}
        with at("table"):
            found = entries(table, folders, self.seeds)
        _write(table, found, Path(run.config.outputs) / "tables" / f"{table.name}{variant}")
        if failed:
            names = ", ".join(_sweep(table, f"{name}{variant}") for name in failed)
            raise ConfigError(
                f"table={table.name}: cells of {names} failed; the same command does them again"
            )

    def _make(self, run: Run, table: PaperTable, name: str, sweep: Sweep) -> bool:
        """Start a sweep's missing cells in a process of their own; whether all went well."""
        sweep = sweep if self.seeds is None else replace(sweep, seeds=self.seeds)
        command = [sys.executable, "-m", "iit_lab.cli", "-m", *_folders(), *sweep.overrides]
        command += [f"seed={','.join(map(str, sweep.seeds))}", f"sweep={_sweep(table, name)}"]
        command += _forwarded(run.overrides)
        log.info("%s: iit-lab %s", name, " ".join(command[3:]))
        child = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        )
        try:
            return child.wait() == 0
        except KeyboardInterrupt:
            child.wait()  # the terminal has sent it the same signal
            raise


def _sweep(table: PaperTable, run: str) -> str:
    return f"{table.name}-{run}"


def _variant(overrides: Sequence[str]) -> str:
    """What tells runs that something else was typed for from the table's own: `_fast` for `debug=fast`."""
    kept = [text for text in _kept(overrides) if _first(text) not in OUTSIDE]
    return f"_{cell_name(kept)}" if kept else ""


def _forwarded(overrides: Sequence[str]) -> list[str]:
    """What was typed besides the table and the job: hardware, logger, launcher, debug, ..."""
    hydra = HydraConfig.get().overrides.hydra
    return [
        *_kept(overrides),
        *(text for text in hydra if text.lstrip("+").startswith(("hydra/launcher", "hydra.launcher"))),
    ]


def _kept(overrides: Sequence[str]) -> list[str]:
    return [text for text in overrides if _first(text) not in OWN]


def _first(override: str) -> str:
    """The group or the first part of a key."""
    return re.split(r"[=./@]", override.lstrip("+~"))[0]


def _folders() -> list[str]:
    """Further config folders that were named on the command line."""
    sources = HydraConfig.get().runtime.config_sources
    return [
        word for each in sources if each.provider == "command-line" for word in ("--config-dir", each.path)
    ]


def _write(table: PaperTable, found: Sequence, folder: Path) -> None:
    """The table in all forms, each replaced at once."""
    title = paper_text.caption(table, found)
    shown = paper_text.frame(table, found)
    far, none = paper_text.outside(found), paper_text.missing(found)
    markdown = to_markdown(shown, title) + (f"\n{table.notes}\n" if table.notes else "")
    texts = {
        "md": markdown,
        "tex": to_latex(shown, title),
        "csv": paper_text.numbers(found).to_csv(index=False),
    }
    for kind, content in texts.items():
        with replacing(folder / f"table.{kind}") as temporary:
            temporary.write_text(content, encoding="utf-8")
    figures.save(paper_text.draw(table, found), folder / "figure")
    log.info("%s", markdown)
    for heading, lines in (("outside the tolerance", far), ("without any run", none)):
        if lines:
            log.info("%d cells %s\n%s", len(lines), heading, "\n".join(lines))
    log.info("table: %s", folder / "table.md")
