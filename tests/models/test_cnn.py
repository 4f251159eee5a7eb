"""The CNN against torch's own layers; its sites, its initial weights, what it refuses."""

import copy

import pytest
import torch
from torch import nn

from iit_lab.models.base import Point
from iit_lab.models.cnn import CNN
from iit_lab.randomness import generator_for
from iit_lab.sites import Site
from iit_lab.tasks.shapes import Shapes

IMAGES = torch.rand(5, 28, 28, 1, generator=generator_for(0, "images"))
SEED = {"channels": [16, 32, 64], "pooled": [0, 1], "kernel": 3, "hidden": [3], "single_logit": True}


def cnn(seed: int = 0, shape: tuple[int, ...] = (28, 28, 1), classes: int = 2, **changes) -> CNN:
    arguments = {**SEED, "alive": True, "scale": 0.01, **changes}
    return CNN(**arguments, input_shape=shape, n_classes=classes, generator=generator_for(seed))


class Original(nn.Module):
    """The study's network, as torch writes such things."""

    def __init__(self, model: CNN) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (copy.deepcopy(each) for each in model.convolutions)
        self.fc1, self.fc2 = (copy.deepcopy(each) for each in model.dense)
        self.pool = nn.MaxPool2d(2)
        self.seen: dict[str, torch.Tensor] = {}
        for name in ("conv1", "conv2", "conv3", "fc1"):
            getattr(self, name).register_forward_hook(
                lambda _, __, out, name=name: self.seen.update({name: out})
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.relu(self.conv3(x)).permute(0, 2, 3, 1).flatten(1)
        return self.fc2(torch.relu(self.fc1(x)))


def test_same_as_the_study_s_network():
    model = cnn()
    original = Original(model)
    logit = original(IMAGES.permute(0, 3, 1, 2))
    torch.testing.assert_close(model(IMAGES), torch.cat([torch.zeros_like(logit), logit], 1))
    assert sum(p.numel() for p in model.parameters()) == 32_711
    label = torch.tensor([0, 1, 1, 0, 1])
    binary = nn.functional.binary_cross_entropy_with_logits(logit.squeeze(1), label.float())
    torch.testing.assert_close(nn.functional.cross_entropy(model(IMAGES), label), binary)
    sites = [Site(layer, "pre_activation") for layer in range(4)]
    collected = model.collect(IMAGES, sites)
    assert [model.width(site) for site in sites] == [12_544, 6_272, 3_136, 3]
    for site, name in zip(sites, original.seen, strict=True):
        theirs = original.seen[name]
        theirs = theirs.permute(0, 2, 3, 1).flatten(1) if theirs.ndim == 4 else theirs
        torch.testing.assert_close(collected[site], theirs)


def test_gradients_are_those_of_the_study_s_network():
    """Pooling before the ReLU changes nothing."""
    model = cnn()
    original = Original(model)
    model(IMAGES)[:, 1].square().sum().backward()
    original(IMAGES.permute(0, 3, 1, 2)).square().sum().backward()
    own = [*model.convolutions, *model.dense]
    theirs = [original.conv1, original.conv2, original.conv3, original.fc1, original.fc2]
    for mine, other in zip(own, theirs, strict=True):
        torch.testing.assert_close(mine.weight.grad, other.weight.grad)
        torch.testing.assert_close(mine.bias.grad, other.bias.grad)


def test_positions_are_pixels_and_units_are_channels():
    model = cnn()
    original = Original(model)
    original(IMAGES.permute(0, 3, 1, 2))
    pixel = 3 * 28 + 5
    site = Site(0, "pre_activation", positions=(pixel, pixel + 1), units=(2, 7))
    found = model.collect(IMAGES, [site])[site]
    theirs = original.seen["conv1"]
    expected = [theirs[:, channel, 3, column] for column in (5, 6) for channel in (2, 7)]
    torch.testing.assert_close(found, torch.stack(expected, 1))
    pooled = Site(0, "block_output", units=(4,))
    torch.testing.assert_close(
        model.collect(IMAGES, [pooled])[pooled],
        nn.functional.max_pool2d(theirs.relu(), 2)[:, 4].flatten(1),
    )


@pytest.mark.parametrize("stage", range(1, 9))
def test_a_run_cut_in_two_is_the_whole_run(stage):
    model = cnn()
    assert model.n_stages == 9
    kept = model.run(IMAGES, stop=stage)
    torch.testing.assert_close(model.run(kept, start=stage), model(IMAGES))
    edited = model.run(IMAGES, {Point(stage): torch.zeros_like})
    torch.testing.assert_close(edited, edited[:1].expand(5, 2))


def test_bytes_are_hundredths():
    model, task = cnn(), Shapes()
    images = task.encode(task.sample(20, generator_for(0)))
    torch.testing.assert_close(model(images), model(images / 100))


def test_initial_weights_are_torch_s_distribution():
    model = cnn(channels=[256, 64], pooled=[0], hidden=[50], alive=False)
    for mine, theirs in (
        (model.convolutions[1], nn.Conv2d(256, 64, 3)),
        (model.dense[0], nn.Linear(14 * 14 * 64, 50)),
    ):
        assert mine.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
        assert mine.weight.abs().max().item() == pytest.approx(theirs.weight.abs().max().item(), rel=0.02)
    first, again = cnn(seed=3), cnn(seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_no_unit_begins_dead():
    """Of torch's own draws many have units that are 0 on every image; those drawn `alive` have none."""
    task, site = Shapes(), Site(3, "block_output")
    images = task.encode(task.sample(200, generator_for(0)))
    dead = {alive: 0 for alive in (False, True)}
    for seed in range(12):
        for alive in dead:
            model = cnn(seed, alive=alive)
            dead[alive] += int((model.collect(images, [site])[site] == 0).all(0).sum())
    assert dead[False] > 6
    assert dead[True] == 0


def test_read_out_weights_alternate():
    drawn, flipped = (cnn(4, alive=alive).dense[-1] for alive in (False, True))
    torch.testing.assert_close(flipped.weight, drawn.weight.abs() * torch.tensor([1.0, -1.0, 1.0]))
    assert torch.equal(flipped.bias, drawn.bias)


def test_several_logits_and_colours():
    model = cnn(shape=(12, 10, 3), classes=5, single_logit=False, hidden=[7, 4], kernel=5)
    assert model(torch.rand(2, 12, 10, 3)).shape == (2, 5)
    assert model.describe() == "cnn 16-32-64 7-4"
    assert [model.shapes(layer)["block_output"] for layer in range(5)] == [
        (30, 16),
        (6, 32),
        (6, 64),
        (7,),
        (4,),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3, 28, 1)}, "pooled=[0, 1]: halves images 2 times, so they need 4 x 4 pixels or more"),
        ({"shape": (16,)}, "input_shape=(16,): a CNN reads height x width x channels"),
        ({"pooled": [3]}, "pooled=[3]: the convolutions are 0..2"),
        ({"kernel": 4}, "kernel=4: must be odd"),
        ({"channels": []}, "channels=[]: one convolution or more"),
        ({"hidden": [0]}, "hidden=[0]: a dense layer needs one unit or more"),
        ({"classes": 3}, "single_logit=true: the task has 3 classes, not two"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError) as error:
        cnn(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (
            Site(0, "pre_activation", positions=(784,)),
            "layer 0 pre_activation of cnn 16-32-64 3 has position 0..783",
        ),
        (Site(0, "pre_activation", units=(16,)), "has units 0..15"),
        (Site(3, "pre_activation", positions=(0,)), "has no positions"),
        (Site(0, "pre_activation", heads=(0,)), "heads=0: pre_activation has no heads"),
        (Site(4, "pre_activation"), "layer=4: cnn 16-32-64 3 has layers 0..3"),
    ],
)
def test_sites_that_are_not_there(site, message):
    with pytest.raises(ValueError) as error:
        cnn().check(site)
    assert message in str(error.value)
