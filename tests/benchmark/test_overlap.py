"""Overlaps against scipy and hand-counted units."""

import math

import pytest
import torch
from scipy.linalg import subspace_angles

from iit_lab.alignment.sampling import Home
from iit_lab.benchmark.overlap import alignment_of, jaccard, principal_angles
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for

MODEL = MLP([6, 6], (4,), 2, generator_for(0))


def test_units():
    claimed = {"v": (Home(0, (0, 1, 2)), Home(1, (5,)))}
    true = {"v": (Home(0, (1, 2, 3)),)}
    assert jaccard(claimed, true, "v") == 2 / 5
    assert alignment_of(claimed, true, "v", MODEL) == pytest.approx(2 / 4)
    assert jaccard(true, true, "v") == 1 and alignment_of(true, true, "v", MODEL) == pytest.approx(1)
    assert alignment_of({"v": (Home(1, (1,)),)}, true, "v", MODEL) == 0


def test_subspaces():
    torch.manual_seed(0)
    first, second = (torch.linalg.qr(torch.randn(6, k)).Q for k in (3, 2))
    claimed, true = {"v": (Home(1, (), first),)}, {"v": (Home(1, (), second),)}
    angles = subspace_angles(first.double().numpy(), second.double().numpy())
    assert jaccard(claimed, true, "v") is None
    assert principal_angles(claimed, true, "v", MODEL) == pytest.approx(angles.tolist(), abs=1e-5)
    expected = sum(math.cos(angle) ** 2 for angle in angles) / 3
    assert alignment_of(claimed, true, "v", MODEL) == pytest.approx(expected, abs=1e-5)
    assert principal_angles(claimed, {"v": (Home(0, (1,)),)}, "v", MODEL) == []
