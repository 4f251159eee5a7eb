"""Shape images: drawn pixel by pixel with numpy, labels by adding up, sets of variables by networkx."""

import math

import numpy as np
import pytest
import torch

from iit_lab.causal.counterfactuals import draw
from iit_lab.causal.policy import CounterfactualPolicy
from iit_lab.randomness import generator_for
from iit_lab.tasks.shapes import LATENTS, Shapes
from iit_lab.training.data import draw_splits


def drawn(aspect: float, grey: float, surface: float, turned: bool, size: int = 28) -> np.ndarray:
    """One image as the study draws it, pixel by pixel."""
    image = np.full((size, size), 1.0)
    major = math.sqrt(surface / (math.pi * aspect))
    for row in range(size):
        for column in range(size):
            x, y = column - size // 2, row - size // 2
            if (x / major) ** 2 + (y / (major * aspect)) ** 2 <= 1:
                image[row, column] = grey
    return np.rot90(image) if turned else image


def test_images_are_those_drawn_pixel_by_pixel():
    task = Shapes()
    setting = task.sample(60, generator_for(0))
    images = task.encode(setting)
    assert images.shape == (60, 28, 28, 1)
    assert images.dtype == torch.uint8
    for i, image in enumerate(images[..., 0].numpy()):
        own = (setting[name][i].item() for name in ("aspect", "grey", "surface", "turned"))
        np.testing.assert_allclose(image / 100, drawn(*own), atol=1e-6)
    assert setting["turned"].any() and not setting["turned"].all()


def test_a_larger_image_shows_a_larger_ellipse():
    setting = Shapes().sample(50, generator_for(0))
    small, large = (Shapes(size=size).encode(setting) for size in (28, 56))
    shares = [(image != 100).float().mean((1, 2, 3)) for image in (small, large)]
    torch.testing.assert_close(*shares, atol=0.02, rtol=0)
    image = drawn(*(setting[name][0].item() * (4 if name == "surface" else 1) for name in setting), size=56)
    np.testing.assert_allclose(large[0, :, :, 0] / 100, image, atol=1e-6)


def test_the_same_seed_draws_the_same():
    first, again, other = (Shapes().encode(Shapes().sample(100, generator_for(i))) for i in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def latents(setting) -> np.ndarray:
    """Circularity, colour and area in [0, 1], as the study rounds them."""
    area = np.round((setting["surface"].double().numpy() - 16 * math.pi) / (48 * math.pi), 2)
    return np.stack([(setting["aspect"].numpy() - 0.3) / 0.7, setting["grey"].numpy() / 0.9, area], axis=1)


@pytest.mark.parametrize("weights", [(0.4, 0.4, 0.4), (0.3, 0.4, 0.5), (0.5, 0.4, 0.3)])
def test_labels_are_weighted_sums(weights):
    task = Shapes(weights)
    setting = task.sample(5000, generator_for(0))
    values = latents(setting)
    assert values.min() >= -1e-6 and values.max() <= 1 + 1e-6
    label = task.causal_model.run(setting)["exceeds"]
    totals = values @ np.array(weights)
    clear = np.abs(totals - 0.6) > 1e-4
    np.testing.assert_array_equal(label.numpy()[clear], (totals > 0.6)[clear])
    assert label.float().mean() == pytest.approx(0.5, abs=0.02)


def test_a_sum_that_equals_the_threshold_does_not_exceed_it():
    settings = {"aspect": 0.65, "grey": 0.45, "surface": 40 * math.pi, "turned": 0}  # half of everything
    setting = {name: torch.tensor([value]) for name, value in settings.items()}
    assert not Shapes().causal_model.run(setting)["exceeds"].item()


@pytest.mark.parametrize(
    ("variables", "sources"),
    [
        (["circularity+colour"], "single"),
        (["colour+area"], "single"),
        (["circularity", "area"], "multi"),
        (["circularity", "colour", "area"], "multi"),
        (["circularity", "colour"], "single"),
    ],
)
def test_counterfactual_labels_add_up_the_sources_properties(variables, sources):
    task = Shapes(variables=variables)
    policy = CounterfactualPolicy(8, 8, 8, sources=sources, test_sets=["joint"])
    pairs = draw(
        task.causal_model, task, variables, 3000, generator_for(3), shared_source=policy.sources == "single"
    )
    mixed = latents(pairs.base)
    for i, name in enumerate(variables):
        source = latents(pairs.sources[0 if sources == "single" else i])
        for latent in name.split("+"):
            mixed[:, LATENTS.index(latent)] = source[:, LATENTS.index(latent)]
    totals = mixed.sum(1) * 0.4
    clear = np.abs(totals - 0.6) > 1e-4
    np.testing.assert_array_equal(pairs.counterfactual_label.numpy()[clear], (totals > 0.6)[clear])
    assert len(pairs.sources) == (1 if sources == "single" else len(variables))


@pytest.mark.parametrize(
    ("variables", "noop", "full_swap"),
    [(["circularity"], 0.73, 0.61), (["colour+area"], 0.61, 0.73), (["circularity+colour+area"], 0.5, 1.0)],
)
def test_baselines_of_the_data(variables, noop, full_swap):
    """Shares of pairs whose label is the base's, and of those whose label is the source's."""
    task = Shapes(variables=variables)
    pairs = draw(task.causal_model, task, variables, 20_000, generator_for(0), shared_source=True)
    label = pairs.counterfactual_label
    of_source = task.causal_model.run(pairs.sources[0])["exceeds"].long()
    assert (pairs.base_label == label).float().mean() == pytest.approx(noop, abs=0.015)
    assert (of_source == label).float().mean() == pytest.approx(full_swap, abs=0.015)


def test_splits_are_distinct_and_images():
    task = Shapes(variables=["circularity"])
    data = draw_splits(task, CounterfactualPolicy(300, 100, 100), task.variables, 0)
    assert data.train[0].base.shape == (300, 28, 28, 1)
    assert data.test[0].sources.shape == (1, 100, 28, 28, 1)
    rows = [
        tuple(part.base[i].flatten().tolist()) for part in (data.train[0], data.test[0]) for i in range(100)
    ]
    assert len(set(rows)) > 190


def test_the_figure_shows_every_source():
    task = Shapes(variables=["circularity", "colour"])
    data = draw_splits(task, CounterfactualPolicy(20, 20, 20, test_sets=["joint"]), task.variables, 0)
    figure = task.draw(data.test[0])
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "base",
        "source of\ncircularity",
        "source of\ncolour",
    ]
    shown = np.asarray(figure.axes[0].get_images()[0].get_array())
    np.testing.assert_array_equal(shown, data.test[0].base[0, :, :, 0])
    assert figure.axes[0].get_title() == f"exceeds: {int(data.test[0].base_label[0])}"
    assert figure.axes[-1].get_xlabel() == f"exceeds: {int(data.test[0].counterfactual_label[5])}"


def test_the_wrong_model_has_other_properties():
    assert Shapes(variables=["circularity+colour"]).wrong().variables == ("colour+area",)
    assert Shapes(variables=["circularity", "colour"]).wrong().variables == ("colour", "area")
    assert Shapes().wrong() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variables": ["weight"]}, "variables=['weight']: one or more of"),
        ({"variables": ["circularity+weight"]}, "variables=['circularity+weight']: one or more of"),
        ({"variables": ["area", "colour+area"]}, "each once"),
        ({"variables": []}, "variables=[]: one or more of"),
        ({"coefficients": (0.4, 0.4)}, "coefficients=[0.4, 0.4]: weights of circularity, colour, area"),
        ({"size": 2}, "size=2: an image of 4 x 4 pixels is the smallest"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError) as error:
        Shapes(**changes)
    assert message in str(error.value)
