"""Ruff, pyright, the import contracts, and the length of modules."""

import subprocess
import sys
from pathlib import Path

import pytest

import iit_lab

ROOT = Path(iit_lab.__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["pyright"], ["lint-imports"]],
    ids=" ".join,
)
def test_tool_is_content(command):
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_are_short():
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "iit_lab").rglob("*.py")}
    assert max(lengths.values()) <= 250, max(lengths, key=lambda path: lengths[path])
    assert sorted(lengths.values())[len(lengths) // 2] <= 120
