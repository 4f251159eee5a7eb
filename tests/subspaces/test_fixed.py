"""Given directions: swaps against units and rotations that are known to be right; what is refused."""

import pytest
import torch

from iit_lab.subspaces.fixed import FixedDirections
from iit_lab.subspaces.identity import IdentitySlice

UNITS = torch.eye(5)


def fixed(**directions):
    return FixedDirections(5, tuple(directions), directions=directions)


def test_units_as_directions_are_units():
    torch.manual_seed(0)
    base, left, right = torch.randn(3, 7, 5)
    subspace = fixed(left=UNITS[:, :2], right=UNITS[:, 3:4])
    slices = IdentitySlice(5, ("left", "right"), {"left": 2, "right": 1}, units=[0, 1, 3, 2, 4])
    targets = {"left": left, "right": right}
    swapped = subspace.swap(base, targets, subspace.basis())
    torch.testing.assert_close(swapped, slices.swap(base, targets, slices.basis()))
    projected = subspace.project(base, subspace.basis(), "right")
    torch.testing.assert_close(projected, base[:, 3:4])


def test_any_columns_of_a_span_do_the_same():
    torch.manual_seed(0)
    orthonormal = torch.linalg.qr(torch.randn(5, 2)).Q
    skew = orthonormal @ torch.tensor([[2.0, 1.0], [0.0, -3.0]])
    base, source = torch.randn(2, 7, 5)
    expected = base + (source - base) @ orthonormal @ orthonormal.mT
    for columns in (orthonormal, skew, skew.tolist()):
        subspace = fixed(one=columns)
        torch.testing.assert_close(subspace.swap(base, {"one": source}, subspace.basis()), expected)
    torch.testing.assert_close(fixed(one=orthonormal).directions("one"), orthonormal, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        ({"one": UNITS[:4, :1]}, r"directions.one: of shape \(4, 1\); 5 units need 5 rows"),
        ({"one": [[1.0], [2.0, 3.0], [0.0], [0.0], [0.0]]}, "directions.one: no matrix"),
        ({"one": UNITS[:, [0, 0]]}, "directions.one: its columns are dependent"),
        ({"one": UNITS[:, :1] * float("nan")}, "not finite"),
        ({"one": UNITS[:, :2], "two": UNITS[:, 1:3]}, "one and two overlap.*cosine 1.000"),
    ],
)
def test_what_is_no_subspace_is_refused(directions, message):
    with pytest.raises(ValueError, match=message):
        fixed(**directions)


def test_every_variable_needs_directions_and_no_rank():
    with pytest.raises(ValueError, match="directions: two has none"):
        FixedDirections(5, ("one", "two"), directions={"one": UNITS[:, :1]})
    with pytest.raises(ValueError, match="rank=2"):
        FixedDirections(5, ("one",), 2, directions={"one": UNITS[:, :1]})
