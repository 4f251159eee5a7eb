"""What is done with the graphs of `job=disentangle`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from iit_lab.config import ConfigError


@dataclass(frozen=True)
class Settings:
    """Of the analysis.

    Args:
        least_clique: nodes that a clique has at least.
        seconds: for the branch and bound of each graph.
        faithful: mean IIA that a faithful subgraph has.
        fits: mean edge weight below which no model is said to fit an input.
        share: of the inputs that the classifier learns from.
        layer: at which inputs are classified and models share them; None for the one of the highest mean IIA.
    """

    least_clique: int = 5
    seconds: float = 1.0
    faithful: Sequence[float] = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
    fits: float = 0.5
    share: float = 0.8
    layer: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Settings":
        """From a config.

        Raises:
            ConfigError: for an unknown key or a value that makes no sense.
        """
        known = [each.name for each in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ConfigError(f"job.settings.{unknown[0]}={given[unknown[0]]}: there are {known}")
        made = cls(**given)
        bad = {
            "seconds": not made.seconds > 0,
            "least_clique": made.least_clique < 2,
            "share": not 0 < made.share < 1,
            "fits": not 0 <= made.fits <= 1,
        }
        for key, wrong in bad.items():
            if wrong:
                raise ConfigError(f"job.settings.{key}={getattr(made, key)}: {VALID[key]}")
        return made

    def check(self, layers: Sequence[int]) -> None:
        """Refuse a layer that has no graph.

        Raises:
            ConfigError: naming those that have.
        """
        if self.layer is not None and self.layer not in layers:
            raise ConfigError(f"job.settings.layer={self.layer}: one of {list(layers)}")


VALID = {
    "seconds": "a search needs a time budget above 0",
    "least_clique": "2 or more",
    "share": "between 0 and 1",
    "fits": "between 0 and 1",
}
