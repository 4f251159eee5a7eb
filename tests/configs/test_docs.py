"""Commands in the documents are composed as they stand."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

import iit_lab
from iit_lab.config import conf_dir, register_schema

ROOT = Path(iit_lab.__file__).parent.parent
FLAGS = ("--help", "--cfg", "-sc", "-cd", "-c")


def commands() -> list[str]:
    """Every `iit-lab ...` line in a block of shell commands."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.partition("  #")[0].strip() for line in lines if line.startswith("iit-lab ")]
    return found


def composes(overrides: list[str]) -> None:
    """The first cell of what was typed."""
    first = []
    for text, override in zip(overrides, OverridesParser.create().parse_overrides(overrides), strict=True):
        if text.startswith("hydra.") or "interval(" in text:
            continue
        value = next(override.sweep_string_iterator()) if override.is_sweep_override() else None
        first.append(text if value is None else f"{override.get_key_element()}={value}")
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose("config", overrides=first, return_hydra_config=True)


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command):
    register_schema()
    words = shlex.split(command)[1:]
    if any(word in FLAGS for word in words):
        pytest.skip("needs a folder or a terminal of the reader's own")
    composes([word for word in words if word != "-m"])


def test_the_recipe_for_w_and_b_sweeps():
    """As `wandb agent` fills it in."""
    register_schema()
    (text,) = re.findall(r"```yaml\n(program:.*?)```", (ROOT / "docs" / "sweeps.md").read_text(), re.DOTALL)
    recipe = yaml.safe_load(text)
    values = {"alignment.layer": 2, "intervention.rank": 4, "optimizer.lr": 0.0012}
    assert values.keys() == recipe["parameters"].keys()
    chosen = {key: {"value": value} for key, value in values.items()}
    filled = create_sweep_command_args({"args": chosen})["args_no_hyphens"]
    words = create_sweep_command(recipe["command"])
    assert words[:4] == ["${env}", "iit-lab", "-m", "sweep=wandb"]
    assert words[-1] == "${args_no_hyphens}"
    composes([*words[3:-1], *filled])
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", overrides=[*words[3:-1], *filled])
    assert (config.alignment.layer, config.intervention.rank, config.optimizer.lr) == (2, 4, 0.0012)
    assert config.logger.wandb.mode == "online"
