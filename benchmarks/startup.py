"""Looking costs little: `iit-lab --help` and `iit-lab --cfg job` start without torch.

Each is timed as a whole process, the console script as installed, against a process that only imports
torch. The ratio gates; the milliseconds beside it should stay below 1500. That neither imports torch is
then read from `-X importtime`.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path

from _compare import Comparisons

SCRIPT = Path(sys.executable).with_name("iit-lab")


def process(*command: str | Path) -> str:
    """Run to the end; returns what it wrote to stderr."""
    done = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return done.stderr


def imports(*arguments: str) -> set[str]:
    """Top-level packages that `iit-lab` imports."""
    lines = process(sys.executable, "-X", "importtime", SCRIPT, *arguments).splitlines()
    return {
        line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time")
    }


def main() -> None:
    """Compare."""
    run = Comparisons(__doc__)
    torch_alone = partial(process, sys.executable, "-c", "import torch")
    for name, arguments in (("help", ["--help"]), ("cfg_job", ["--cfg", "job"])):
        found = imports(*arguments)
        if "hydra" not in found or "torch" in found:
            raise SystemExit(f"iit-lab {' '.join(arguments)}: imports torch, or importtime could not be read")
        ours = partial(process, SCRIPT, *arguments)
        run.overhead(f"startup/{name}", ours, torch_alone, run.pairs(20, quick=3), 0.8)
    run.exit()


if __name__ == "__main__":
    main()
