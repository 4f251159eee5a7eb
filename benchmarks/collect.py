"""Reading a sweep: the table of 10 000 runs (quick: 1000) against parsing the same records and no more.

The records are made from a real config, `experiment=equality_das`, and real names of metrics, for a sweep of
layers, ranks and seeds. The lower bound is `json.loads(path.read_text())` in a loop over known paths; ours
finds the cells, checks each record, finds out in which keys they differ, sorts and builds the table. Before
anything is timed, the table must have every run and the right number.
"""

import json
import tempfile
from copy import deepcopy
from pathlib import Path

from _compare import Comparisons
from hydra import compose, initialize_config_dir

from iit_lab.config import conf_dir, plain, register_schema
from iit_lab.results.collect import runs
from iit_lab.results.record import write_config, write_result

LAYERS, RANKS = 10, 10
KINDS = ("iia", "iia_noop", "iia_full_swap", "iia_changed", "iia_unchanged")
NAMES = ("", "/left_equality", "/right_equality", "/left_equality+right_equality")


def write_sweep(folder: Path, n: int) -> list[Path]:
    """`n` cells; returns the paths of their records."""
    register_schema()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = plain(compose("config", overrides=["experiment=equality_das"]))
    metrics = {"test/accuracy": 1.0, **{f"test/{kind}{name}": 0.5 for kind in KINDS for name in NAMES}}
    first = folder / "first"
    write_config(first, config, [])
    write_result(first, config, [], metrics, {"data": 1.0, "fit": 2.0, "total": 3.0}, {}, [])
    begun, record = (json.loads((first / name).read_text()) for name in ("config.json", "result.json"))
    paths = []
    for i in range(n):
        seed, layer, rank = i // (LAYERS * RANKS), i // RANKS % LAYERS, i % RANKS
        record["config"] = own = deepcopy(config)
        own["alignment"]["layer"], own["intervention"]["rank"] = layer, rank
        own["seed"] = own["model"]["seed"] = own["requires"]["network"]["seed"] = seed
        record["overrides"] = [f"alignment.layer={layer}", f"intervention.rank={rank}", f"seed={seed}"]
        record["metrics"]["test/iia"] = i / n
        cell = folder / "sweep" / f"layer-{layer}_rank-{rank}_seed-{seed}"
        cell.mkdir(parents=True)
        (cell / "config.json").write_text(json.dumps(begun, indent=2))
        (cell / "result.json").write_text(json.dumps(record, indent=2))
        paths.append(cell / "result.json")
    return paths


def main() -> None:
    """Compare."""
    run = Comparisons(__doc__)
    n = 1_000 if run.quick else 10_000
    with tempfile.TemporaryDirectory() as folder:
        paths = write_sweep(Path(folder), n)
        sweep = paths[0].parent.parent

        def parse_alone() -> None:
            for path in paths:
                json.loads(path.read_text())

        found = runs(sweep)
        right = found["alignment.layer"] * RANKS + found["intervention.rank"] + found["seed"] * LAYERS * RANKS
        if len(found) != n or (found["test/iia"] - right / n).abs().max() > 1e-12:
            raise SystemExit("the table is wrong")
        run.overhead(f"collect/{n}_records", lambda: runs(sweep), parse_alone, run.pairs(20, quick=10), 3)
    run.exit()


if __name__ == "__main__":
    main()
