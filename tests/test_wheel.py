"""A built wheel, installed elsewhere, works from another folder."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import iit_lab

ROOT = Path(iit_lab.__file__).parent.parent


def run(*command: str | Path, **options) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_wheel(tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel)
    (own / "parent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    options = {"cwd": elsewhere, "env": environment}
    where = run(python, "-c", "import iit_lab; print(iit_lab.__file__)", **options).strip()
    assert Path(where).is_relative_to(tmp_path / "venv")
    assert (own / "iit_lab" / "conf" / "config.yaml").is_file()
    assert (own / "iit_lab" / "py.typed").is_file()
    assert (own / "hydra_plugins" / "iit_lab_launchers" / "cells.py").is_file()

    command = tmp_path / "venv" / "bin" / "iit-lab"
    assert "iit-lab experiment=equality_iit" in run(command, "--help", **options)
    run(command, "experiment=equality_das", "debug=fast", "hydra.run.dir=here", **options)
    assert (elsewhere / "here" / "result.json").is_file()
    swept = run(
        command, "-m", "sweep=a", "experiment=equality_handcrafted", "debug=fast", "seed=0,1", **options
    )
    assert "2 cells, 0 finished are skipped, 0 are at work elsewhere, 2 to run" in swept
    assert list((elsewhere / "outputs" / "networks").glob("*/network.safetensors"))
