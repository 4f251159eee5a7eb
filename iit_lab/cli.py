"""The command line: `iit-lab` is a Hydra application. Heavy imports happen inside it."""

import hydra
from omegaconf import DictConfig

from iit_lab.config import conf_dir, register_schema


def main() -> None:
    """Entry point of the console script."""
    register_schema()
    _main()


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def _main(config: DictConfig) -> float | None:
    from iit_lab.jobs.runner import start

    return start(config)


if __name__ == "__main__":
    main()
