"""What `job=transfer` leaves: a table of every test, matrices and figures."""

import logging
from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.figure import Figure

from iit_lab.analysis import transfer
from iit_lab.analysis.positions import PREFIX
from iit_lab.analysis.transfer import Trial
from iit_lab.jobs.base import Outcome, Run
from iit_lab.results import figures
from iit_lab.results.collect import CELL
from iit_lab.results.files import replacing
from iit_lab.results.tables import pivot, to_markdown

log = logging.getLogger(__name__)
METRIC, CHANGED = "test/iia", "test/iia_changed"
SHARE = "subspace/share"
LAYER, RANK = "alignment.layer", "intervention.rank"
KEPT = ("iia", "iia_changed", "iia_noop", "iia_full_swap")


def report(run: Run, tests: Sequence[Trial], *, same: bool, reference: str | None) -> Outcome:
    """Write `transfer.csv`, `transfer.md` and `figures/`; metrics are means over seeds.

    Args:
        run: whose directory they are written to.
        tests: what was found.
        same: every alignment was tested under its own model only.
        reference: the model that the network was trained on, if any.
    """
    with replacing(run.directory / "transfer.csv") as temporary:
        transfer.frame(tests).to_csv(temporary, index=False)
    metrics, texts = _metrics(tests), []
    for name, (caption, table, drawn) in _groups(tests, run.config.name, same=same).items():
        rows = transfer.frame(table)
        texts.append(to_markdown(pivot(rows, LAYER, drawn, METRIC), caption))
        for kind, draw in (("heatmap", figures.heatmap), ("lines", figures.lines)):
            figure: Figure = draw(rows, LAYER, drawn, METRIC, title=caption)
            figures.save(figure, run.directory / "figures" / f"{name}-{kind}")
    texts += list(_positions(run, tests))
    texts += list(_verdicts(tests, same=same))
    if reference is not None:
        metrics[f"advantage/{reference}"] = ahead = transfer.advantage(tests, reference, CHANGED)
        texts.append(f"{CHANGED} of {reference} minus the others' largest, at its best layer: {ahead:.3f}\n")
    text = "\n".join(texts)
    with replacing(run.directory / "transfer.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    log.info("%s", text)
    return Outcome(metrics, files={"table": "transfer.md", "tests": "transfer.csv", "figures": "figures"})


def _groups(tests: Sequence[Trial], title: str, *, same: bool) -> dict[str, tuple[str, list[Trial], str]]:
    """File name -> caption, the tests of one table and figure, and what tells its columns apart."""
    found: dict[str, tuple[str, list[Trial], str]] = {}
    ranks = list(dict.fromkeys(test.rank for test in tests))
    names = list(dict.fromkeys(test.trained for test in tests))
    for rank in ranks:
        of_rank = [test for test in tests if test.rank == rank]
        if same:
            found[f"rank-{_text(rank)}"] = (f"{title}, rank {_text(rank)}", of_rank, "tested_on")
            continue
        for name in names:
            chosen = [test for test in of_rank if test.trained == name]
            caption = f"{METRIC}, aligned under {name}, rank {_text(rank)}"
            found[f"{name}_rank-{_text(rank)}"] = (caption, chosen, "tested_on")
    if same and len(ranks) > 1:
        for name in names:
            found[name] = (f"{METRIC} under {name}", [test for test in tests if test.trained == name], RANK)
    return found


def _positions(run: Run, tests: Sequence[Trial]) -> Iterator[str]:
    """At which tokens the alignments lie, layer by layer, of each causal model and rank."""
    own = [test for test in transfer.own(tests) if any(name.startswith(PREFIX) for name in test.metrics)]
    for name, rank in dict.fromkeys((test.trained, test.rank) for test in own):
        rows = pd.DataFrame(
            {
                CELL: f"{test.layer}-{key}-{test.seed}",
                LAYER: test.layer,
                "position": int(key.removeprefix(PREFIX)),
                "seed": test.seed,
                SHARE: share,
            }
            for test in own
            if (test.trained, test.rank) == (name, rank)
            for key, share in test.metrics.items()
            if key.startswith(PREFIX)
        )
        caption = f"{SHARE}, aligned under {name}, rank {_text(rank)}"
        yield to_markdown(pivot(rows, LAYER, "position", SHARE), caption)
        figure = figures.heatmap(rows, LAYER, "position", SHARE, title=caption)
        figures.save(figure, run.directory / "figures" / f"{name}_rank-{_text(rank)}-positions")


def _verdicts(tests: Sequence[Trial], *, same: bool) -> Iterator[str]:
    """Which model is best where, or whether the diagonal is above the rest."""
    if same:
        found = transfer.best_models(tests)
        best = [(layer, _text(rank), name, f"{value:.3f}") for layer, rank, name, value in found]
        shown = pd.DataFrame(best, columns=["layer", "rank", "best model", METRIC])
        yield f"Best causal model of each layer\n\n{shown.to_markdown(index=False, disable_numparse=True)}\n"
    elif compared := transfer.compare(tests):
        above, places = transfer.passes(compared)
        yield (
            f"Of {places} alignments whose own IIA exceeds the full swap by .2, {above} are better under "
            "their own causal model than under any other.\n"
        )


def _metrics(tests: Sequence[Trial]) -> dict[str, float]:
    """`test/iia/XY/XZ/layer_3/rank_21` and so on."""
    names = [name for name in tests[0].metrics if name.rpartition("/")[2] in KEPT]
    return {
        f"{name}/{trained}/{tested}/layer_{layer}/rank_{_text(rank)}": value
        for name in names
        for (trained, tested, layer, rank), value in transfer.averaged(tests, name).items()
    }


def _text(rank: int | None) -> str:
    return "null" if rank is None else str(rank)
