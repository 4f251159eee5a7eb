"""What is done with disentangling graphs: keys of `job.settings`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from iit_lab.config import ConfigError


@dataclass(frozen=True)
class GraphSettings:
    """Of cliques and faithful subgraphs.

    Args:
        least_clique: nodes that a clique has at least.
        seconds: for the branch and bound of each graph.
        faithful: mean IIA that a faithful subgraph has.
        exclude: inputs, by number from 0, that no faithful subgraph has.
        chains: of models, each taking what those before it have left; None for one of all, in their order.
    """

    least_clique: int = 5
    seconds: float = 1.0
    faithful: Sequence[float] = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)
    exclude: Sequence[int] = ()
    chains: Sequence[Sequence[str]] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """From a config.

        Raises:
            ConfigError: for an unknown key or a value that makes no sense.
        """
        known = [each.name for each in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise ConfigError(f"job.settings.{unknown[0]}={given[unknown[0]]}: there are {known}")
        made = cls(**given)
        for key, (wrong, valid) in made.mistakes().items():
            if wrong:
                raise ConfigError(f"job.settings.{key}={getattr(made, key)}: {valid}")
        return made

    def mistakes(self) -> dict[str, tuple[bool, str]]:
        """Of each key that can be wrong: whether it is, and what is valid."""
        return {
            "seconds": (not self.seconds > 0, "a search needs a time budget above 0"),
            "least_clique": (self.least_clique < 2, "2 or more"),
            "faithful": (not all(0 <= least <= 1 for least in self.faithful), "each between 0 and 1"),
        }


@dataclass(frozen=True)
class Settings(GraphSettings):
    """Of the classification of inputs, too.

    Args:
        fits: mean edge weight below which no model is said to fit an input.
        share: of the inputs that the classifier learns from.
        layer: at which inputs are classified and models share them; None for the one of the highest mean IIA.
    """

    fits: float = 0.5
    share: float = 0.8
    layer: int | None = None

    def mistakes(self) -> dict[str, tuple[bool, str]]:
        """Of each key that can be wrong: whether it is, and what is valid."""
        return super().mistakes() | {
            "share": (not 0 < self.share < 1, "between 0 and 1"),
            "fits": (not 0 <= self.fits <= 1, "between 0 and 1"),
        }

    def check(self, layers: Sequence[int]) -> None:
        """Refuse a layer that has no graph.

        Raises:
            ConfigError: naming those that have.
        """
        if self.layer is not None and self.layer not in layers:
            raise ConfigError(f"job.settings.layer={self.layer}: one of {list(layers)}")
