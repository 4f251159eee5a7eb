"""Weights come back bit for bit, whatever they are, and a save that fails costs nothing."""

import pytest
import torch
from torch import nn

from iit_lab.alignment.alignment import place
from iit_lab.interventions.intervention import Intervention
from iit_lab.interventions.mean import Mean
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.results import artefacts
from iit_lab.subspaces.rotation import LowRankRotation

ODD = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e-45, 3.4e38]


class Holder(nn.Module):
    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("tensor", tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(ODD),
        torch.tensor(ODD, dtype=torch.double),
        torch.tensor(ODD).bfloat16(),
        torch.tensor([2**62 + 1, -1]),
        torch.tensor([True, False]),
        torch.tensor(1.5),
        torch.arange(12.0).view(3, 4).T,
        torch.arange(12.0)[::5],
    ],
    ids=["odd", "double", "bfloat16", "int", "bool", "scalar", "transposed", "strided"],
)
def test_every_bit_comes_back(tmp_path, tensor):
    artefacts.save(tmp_path, "network", Holder(tensor), {})
    read = Holder(torch.zeros_like(tensor))
    artefacts.load(tmp_path, "network", read)
    assert read.tensor.dtype == tensor.dtype
    assert torch.equal(*(each.contiguous().reshape(-1).view(torch.uint8) for each in (read.tensor, tensor)))


def test_an_alignment_with_its_means_comes_back(tmp_path):
    model = MLP([8], (4,), 2, generator_for(0, "network"))
    first, second = (
        Intervention(place(("v",), 0), model, Mean(), LowRankRotation, generator_for(seed), rank=3)
        for seed in (1, 2)
    )
    first.calibrate(model, torch.randn(9, 4, generator=generator_for(0, "inputs")))
    artefacts.save(tmp_path, "alignment", first, {})
    artefacts.load(tmp_path, "alignment", second)
    assert torch.equal(first.subspaces[0].basis(), second.subspaces[0].basis())
    assert second.get_buffer("mean_0").any()
    assert torch.equal(first.get_buffer("mean_0"), second.get_buffer("mean_0"))


def test_a_save_that_fails_leaves_the_old_weights(tmp_path, monkeypatch):
    artefacts.save(tmp_path, "network", nn.Linear(3, 2), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(state, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(artefacts, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        artefacts.save(tmp_path, "network", nn.Linear(3, 2), {"description": "new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_network_is_left_as_it_was_by_weights_of_another(tmp_path):
    artefacts.save(tmp_path, "network", nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5)), {})
    target = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    before = [weight.clone() for weight in target.parameters()]
    with pytest.raises(ValueError, match=r"1.bias \(5,\) instead of \(4,\); 1.weight \(5, 2\) instead of"):
        artefacts.load(tmp_path, "network", target)
    assert all(torch.equal(*pair) for pair in zip(before, target.parameters(), strict=True))


def test_a_weight_with_two_names_is_stored_once_and_stays_tied(tmp_path):
    def tied(value: float) -> nn.Module:
        module = nn.ModuleDict({"embed": nn.Embedding(5, 3), "read": nn.Linear(3, 5, bias=False)})
        module["read"].weight = module["embed"].weight
        nn.init.constant_(module["embed"].weight, value)
        return module

    artefacts.save(tmp_path, "network", tied(2.0), {})
    assert (tmp_path / "network.safetensors").stat().st_size < 2 * 5 * 3 * 4 + 100
    read = tied(0.0)
    artefacts.load(tmp_path, "network", read)
    assert read["read"].weight is read["embed"].weight
    assert (read["read"].weight == 2.0).all()


def test_another_precision_is_refused(tmp_path):
    artefacts.save(tmp_path, "network", Holder(torch.zeros(3, dtype=torch.double)), {})
    with pytest.raises(ValueError, match=r"tensor \(3,\) float64 instead of \(3,\)"):
        artefacts.load(tmp_path, "network", Holder(torch.zeros(3)))
