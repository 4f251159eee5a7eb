"""Orthonormal columns of a convolution's flattened output: which parametrisation costs least.

A run makes k orthonormal columns of n units from a weight, forward and backward. Ours is torch's thin QR of
the n x k weight. Against it, from the same weight:

- cholesky: QR by way of the Cholesky factor of the k x k Gram matrix. Nothing gates: it costs about as much,
  and loses its orthogonality where the weight's columns grow alike.
- torch: `torch.nn.utils.parametrizations.orthogonal` (Householder reflections, with a basis of n x n), which
  pyvene uses.
- matrix_exp: of a skew-symmetric n x n matrix, of which the first k columns are taken. At n = 12 544 the
  matrix alone has 629 MB and each of the dozen products in its exponential 4 x 10^12 operations, so it is
  timed at n = 784 (one channel).
"""

from collections.abc import Callable
from functools import partial

import torch
from _compare import Comparisons
from torch import Tensor, nn

SIZES = [(12_544, 1), (12_544, 16), (12_544, 64), (3_136, 64)]
TORCH = [(3_136, 4), (12_544, 1)]


def thin_qr(weight: Tensor) -> Tensor:
    """As `iit_lab.subspaces.rotation` does."""
    return torch.linalg.qr(weight).Q


def cholesky(weight: Tensor) -> Tensor:
    """Weight times the inverse of its Gram matrix's factor."""
    factor = torch.linalg.cholesky(weight.mT @ weight)
    return weight @ torch.linalg.solve_triangular(factor, torch.eye(len(factor)), upper=False).mT


def matrix_exp(weight: Tensor) -> Tensor:
    """The first columns of the exponential of weight - weight^T, the weight filled up with zeros."""
    n, k = weight.shape
    square = nn.functional.pad(weight, (0, n - k))
    return torch.matrix_exp(square - square.mT)[:, :k]


def step(columns: Callable[[Tensor], Tensor], weight: Tensor, gradient: Tensor) -> None:
    """Forward and backward."""
    weight.grad = None
    columns(weight).backward(gradient)


def parametrised(rows: int, columns: int) -> Callable[[Tensor], Tensor]:
    """What pyvene's rotation evaluates; it has a weight of its own."""
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.linalg.qr(torch.randn(rows, columns)).Q)
    layer = nn.utils.parametrizations.orthogonal(layer)
    return lambda weight: torch.as_tensor(layer.weight)


def main() -> None:
    """Compare; the wide and costly ones a few times only."""
    run = Comparisons(__doc__)
    torch.manual_seed(0)

    def works(n: int, k: int, *ways: Callable[[Tensor], Tensor]) -> list[Callable[[], None]]:
        weight = torch.linalg.qr(torch.randn(n, k)).Q.requires_grad_()
        gradient = torch.randn(n, k)
        return [partial(step, way, weight, gradient) for way in ways]

    for n, k in SIZES:
        pairs = run.pairs(100, quick=20)
        run.overhead(f"orthogonal/cholesky/{n}x{k}", *works(n, k, thin_qr, cholesky), pairs, None)
    for n, k in TORCH:
        name, ways = f"orthogonal/torch/{n}x{k}", works(n, k, thin_qr, parametrised(n, k))
        run.speed_up(name, *ways, run.pairs(3, quick=2), 100, warm=1)
    name, ways = "orthogonal/matrix_exp/784x16", works(784, 16, thin_qr, matrix_exp)
    run.speed_up(name, *ways, run.pairs(20, quick=3), 10, warm=1)
    run.exit()


if __name__ == "__main__":
    main()
