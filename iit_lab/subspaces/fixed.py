"""Directions that are given, such as those of somebody's proposal; nothing is trained."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from iit_lab.subspaces.base import Rank, Subspace
from iit_lab.subspaces.rotation import moved

TOLERANCE = 1e-3
"""How far from a right angle the subspaces of two variables may be, as a cosine."""
Directions = Float[Tensor, "width rank"] | Sequence[Sequence[float]]


class FixedDirections(Subspace):
    r"""Each variable in the span of columns that are given.

    With an orthonormal basis $Q_v$ of variable $v$'s columns, $\mathrm{swap}(b, s) = b + \sum_v Q_v Q_v^\top
    (s_v - b)$, as of a trained rotation. Columns that are orthonormal to begin with are kept as they are.

    Args:
        width: units of the site, flattened.
        variables: who lives there.
        rank: None; the columns say it.
        generator: unused; nothing here is random.
        directions: of each variable, a row for each unit and a column for each direction.

    Raises:
        ValueError: if a variable has none, or columns that are dependent or of another width, or if two
            variables share a direction.
    """

    def __init__(
        self,
        width: int,
        variables: tuple[str, ...],
        rank: Rank = None,
        generator: torch.Generator | None = None,
        *,
        directions: Mapping[str, Directions],
    ) -> None:
        super().__init__()
        del generator
        if rank is not None:
            raise ValueError(f"rank={rank}: given directions say how many they are, so rank must be null")
        self.width, self.slots, stop = width, {}, 0
        columns = []
        for name in variables:
            if name not in directions:
                raise ValueError(f"directions: {name} has none; given are those of {list(directions)}")
            columns.append(orthonormalised(directions[name], width, f"directions.{name}"))
            self.slots[name] = slice(stop, stop := stop + columns[-1].shape[1])
        refuse_shared(dict(zip(variables, columns, strict=True)))
        self.register_buffer("columns", torch.cat(columns, dim=1))

    def basis(self) -> Float[Tensor, "width rank"]:
        """All columns, one variable's after another's."""
        return self.get_buffer("columns")

    def swap(
        self,
        base: Float[Tensor, "batch width"],
        targets: Mapping[str, Float[Tensor, "batch width"]],
        basis: Tensor,
    ) -> Float[Tensor, "batch width"]:
        """`base` with its component along each variable's columns taken from the variable's target."""
        swapped = base
        for name, target in targets.items():
            own = basis[:, self.slots[name]]
            swapped = moved(swapped, target - base, own, own)
        return swapped

    def project(
        self, activation: Float[Tensor, "batch width"], basis: Tensor, variable: str
    ) -> Float[Tensor, "batch rank"]:
        """Coordinates along the variable's columns."""
        return activation @ basis[:, self.slots[variable]]

    def directions(self, variable: str) -> Float[Tensor, "width rank"]:
        """The variable's columns."""
        return self.get_buffer("columns")[:, self.slots[variable]]


def orthonormalised(columns: Directions, width: int, name: str = "directions") -> Float[Tensor, "width rank"]:
    """Orthonormal columns with the same span; those that are orthonormal already stay as they are.

    Args:
        columns: a row for each unit.
        width: how many units.
        name: what to call them in an error.

    Raises:
        ValueError: if they are no matrix of so many rows, not finite, or dependent.
    """
    try:
        given = torch.as_tensor(columns, dtype=torch.float64)
    except (ValueError, TypeError):
        raise ValueError(
            f"{name}: no matrix; write a row for each unit, a column for each direction"
        ) from None
    if given.ndim != 2 or given.shape[0] != width or not 1 <= given.shape[1] <= width:
        raise ValueError(
            f"{name}: of shape {tuple(given.shape)}; {width} units need {width} rows and 1 to {width} columns"
        )
    if not given.isfinite().all():
        raise ValueError(f"{name}: holds numbers that are not finite")
    gram = given.mT @ given
    if torch.allclose(gram, torch.eye(len(gram), dtype=gram.dtype), atol=1e-5):
        return given.float()
    if torch.linalg.matrix_rank(given, rtol=1e-6) < given.shape[1]:
        raise ValueError(f"{name}: its columns are dependent")
    return torch.linalg.qr(given).Q.float()


def refuse_shared(columns: Mapping[str, Float[Tensor, "width _"]]) -> None:
    """Orthonormal columns of different variables must be orthogonal to each other.

    Raises:
        ValueError: naming the variables.
    """
    names = list(columns)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            cosine = float((columns[first].mT @ columns[second]).abs().max())
            if cosine > TOLERANCE:
                raise ValueError(
                    f"directions: {first} and {second} overlap, two of their directions have cosine "
                    f"{cosine:.3f}; what they take up must be orthogonal"
                )
