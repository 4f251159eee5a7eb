"""`job=graphs`: cliques and faithful subgraphs of disentangling graphs that are there as files."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from iit_lab.analysis import features, graphs
from iit_lab.analysis.graphs import PairGraph
from iit_lab.config import ConfigError
from iit_lab.jobs import graph_tables
from iit_lab.jobs.base import Job, Outcome, Run
from iit_lab.jobs.build import build_task
from iit_lab.jobs.disentangle_report import grow_trees
from iit_lab.jobs.disentangle_settings import GraphSettings
from iit_lab.jobs.targets import about
from iit_lab.results.files import replacing, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphFiles(Job):
    """Describe graphs of any origin. Trees are grown if the nodes are the task's inputs.

    Args:
        files: of each causal model, a `.pt` file of the DAS thesis or a graph of `job=disentangle`.
        settings: see `disentangle_settings.GraphSettings`.
    """

    files: Mapping[str, str]
    settings: Mapping[str, object] = field(default_factory=dict)

    def perform(self, run: Run) -> Outcome:
        """Read, describe, and write the tables."""
        settings = GraphSettings.of(self.settings)
        read = self._read()
        rows, found = [], {}
        for name, graph in read.items():
            row, found[name] = graph_tables.describe(graph, {}, settings)
            known = (
                1.0 if graph.known is None else float(graph.pairs.sum() * 2 / len(graph) / (len(graph) - 1))
            )
            rows.append({"model": name, "pairs known": known, **row})
        table = pd.DataFrame(rows)
        grown = graph_tables.curves(read, settings)
        shared = graph_tables.shared(read, found, grown, settings)
        trees = self._trees(run, found, len(next(iter(read.values()))))
        write_json(run.directory / "cliques.json", found)
        parts = [table.to_markdown(index=False, floatfmt=".3f") + "\n", *graph_tables.text(shared)]
        if trees:
            parts.append("\n".join(f"{name}: {value:.3f}" for name, value in trees.items()) + "\n")
        text = "\n".join(parts)
        for name, content in (("graphs.csv", table.to_csv(index=False)), ("graphs.md", text)):
            with replacing(run.directory / name) as temporary:
                temporary.write_text(content, encoding="utf-8")
        log.info("%s", text)
        metrics = {
            f"{key.replace(' ', '_')}/{row['model']}": float(value)
            for row in rows
            for key, value in row.items()
            if key not in ("model", "proven")
        }
        metrics |= graph_tables.sizes(shared) | trees
        return Outcome(metrics, files={"table": "graphs.md", "cliques": "cliques.json"})

    def _read(self) -> dict[str, PairGraph]:
        """The graphs.

        Raises:
            ConfigError: if there are none, one cannot be read, or they are of different inputs.
        """
        if not self.files:
            raise ConfigError("job.files={}: a file for each causal model, as job.files.xy=graph.pt")
        read = {}
        for name, file in self.files.items():
            path = Path(file)
            with about(f"job.files.{name}", file):
                read[name] = graphs.read_thesis(path) if path.suffix == ".pt" else graphs.load(path)
                nodes = len(read[name])
            if read[name].card.get("half_filled"):
                log.info(
                    "%s: filled only where i + j < %d; other pairs count as wrong in subgraphs", file, nodes
                )
        sizes = {name: len(graph) for name, graph in read.items()}
        if len(set(sizes.values())) > 1:
            raise ConfigError(f"job.files: graphs of different numbers of inputs, {sizes}")
        return read

    def _trees(self, run: Run, found: Mapping[str, list[list[int]]], nodes: int) -> dict[str, float]:
        inputs = build_task(run.config).inputs
        if inputs is None or len(inputs) != nodes:
            of = 0 if inputs is None else len(inputs)
            log.info("no trees: %d nodes, and the task lists %d inputs", nodes, of)
            return {}
        return grow_trees(run, found, features.of_numbers(inputs.setting))
