"""Submissions side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from iit_lab.benchmark.scoring import NetworkScore

EQUAL = 3
"""Decimals to which two submissions must agree in IIA above the baselines for their dimensions to count."""


@dataclass(frozen=True)
class Entry:
    """One submission's row.

    Args:
        name: of the submission.
        networks: how many it makes claims about.
        iia: mean over the networks it is about of the mean over the sets of variables each was trained for.
        above: the same over all networks, of the IIA above the better of no intervention and a full swap.
        dimensions: mean, of the variables trained for.
        jaccard: mean over claims that, like the truth, are units; None without answers, or without such.
        overlap: mean squared cosine of the principal angles to the truth; None without answers.
    """

    name: str
    networks: int
    iia: float
    above: float
    dimensions: float
    jaccard: float | None = None
    overlap: float | None = None


def entry(
    name: str,
    scores: Mapping[str, NetworkScore],
    trained: Mapping[str, Sequence[str]],
    dimensions: Mapping[str, int],
    overlaps: Sequence[tuple[float | None, float]] = (),
) -> Entry:
    """A submission's row.

    Args:
        name: of the submission.
        scores: of the networks that it makes claims about.
        trained: of every published network, the sets of variables that it was trained for. One without a
            claim is 0 above the baselines, as one with a claim that is below them.
        dimensions: of each network's claims.
        overlaps: (Jaccard, squared cosine) of each claim with the truth.
    """
    iia, above = [], []
    for network, sets in trained.items():
        if network not in scores:
            above.append(0.0)
            continue
        own = [scores[network].sets[name] for name in sets]
        iia.append(mean(each.iia for each in own))
        above.append(max(0.0, mean(each.above for each in own)))
    units = [first for first, _ in overlaps if first is not None]
    return Entry(
        name,
        len(scores),
        mean(iia),
        mean(above),
        mean(dimensions.values()),
        mean(units) if units else None,
        mean(second for _, second in overlaps) if overlaps else None,
    )


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """The best first: by IIA above the baselines, then by fewest dimensions, then by name."""
    return sorted(entries, key=lambda each: (-round(each.above, EQUAL), each.dimensions, each.name))
