import pytest
import torch
from pyvene import SigmoidMaskIntervention, SigmoidMaskRotatedSpaceIntervention

from iit_lab.randomness import generator_for
from iit_lab.subspaces.mask import SigmoidMask


def mask(*logits: list[float], temperature=(1.0, 1e-3), **options) -> SigmoidMask:
    names = ("v", "w", "x")[: len(logits)]
    found = SigmoidMask(len(logits[0]), names, None, generator_for(1), temperature, **options)
    with torch.no_grad():
        found.logits.copy_(torch.tensor(logits))
    return found


def pair(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    base, source = torch.randn(2, 5, width, generator=generator_for(0, "test"))
    return base, source


LOGITS = torch.randn(12, generator=generator_for(2)).tolist()


@pytest.mark.filterwarnings("ignore:To copy construct")  # pyvene's own
@pytest.mark.parametrize("temperature", [0.01, 0.3, 2.0])
def test_swap_and_gradient_agree_with_pyvene(temperature):
    base, source = pair(12)
    ours = mask(LOGITS, temperature=(temperature, temperature))
    theirs = SigmoidMaskIntervention(embed_dim=12)
    theirs.mask.data.copy_(ours.logits[0])
    theirs.set_temperature(ours.temperature)
    expected = theirs(base.clone(), source)
    found = ours.swap(base, {"v": source}, ours.basis())
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    expected.square().sum().backward()
    found.square().sum().backward()
    torch.testing.assert_close(ours.logits.grad[0], theirs.mask.grad, atol=1e-4, rtol=1e-4)


def test_rotated_swap_agrees_with_pyvene():
    base, source = pair(12)
    ours = mask(LOGITS, rotated=True)
    theirs = SigmoidMaskRotatedSpaceIntervention(embed_dim=12)
    with torch.no_grad():
        theirs.rotate_layer.weight = ours.basis().columns
        theirs.masks.copy_(ours.logits[0])
    theirs.set_temperature(ours.temperature)
    found = ours.swap(base, {"v": source}, ours.basis())
    torch.testing.assert_close(found, theirs(base.clone(), source), atol=2e-6, rtol=0)
    found.square().sum().backward()
    assert ours.logits.grad.abs().sum() > 0 and ours.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 1.0), (0.25, 0.5005), (0.4, 0.2008), (0.5, 0.001), (0.9, 0.001)]
)
def test_the_temperature_falls_over_the_first_half(progress, expected):
    subspace = mask([0.0], hard=True)
    subspace.anneal(progress)
    assert subspace.temperature.item() == pytest.approx(expected)


def test_a_hard_mask_is_soft_in_training_and_rounded_outside():
    base, source = torch.zeros(1, 3), torch.ones(1, 3)
    subspace = mask([1.0, 0.0, -1.0], hard=True)
    sigmoid = torch.tensor([[1.0, 0.0, -1.0]]).sigmoid()
    torch.testing.assert_close(subspace.swap(base, {"v": source}, subspace.basis()), sigmoid)
    assert subspace.size("v").item() == pytest.approx(0.5)
    subspace.eval()
    assert subspace.swap(base, {"v": source}, subspace.basis()).tolist() == [[1, 0, 0]]
    assert subspace.size("v").item() == pytest.approx(1 / 3)
    assert torch.equal(mask([1.0, 0.0, -1.0]).eval().masks(), mask([1.0, 0.0, -1.0]).masks())


def test_a_cold_soft_mask_is_the_hard_one():
    soft, hard = (mask(LOGITS, LOGITS[::-1], hard=hard).eval() for hard in (False, True))
    soft.anneal(1.0)
    torch.testing.assert_close(soft.masks(), hard.masks())


def test_variables_compete_for_a_unit():
    subspace = mask([1.0, 3.0, -1.0, 2.0], [2.0, -1.0, -2.0, 2.0])
    masks = subspace.masks()
    assert (masks.sum(0) < 1).all()
    expected = torch.tensor([1.0, 2.0, 0.0]).softmax(0)[:2]
    torch.testing.assert_close(masks[:, 0], expected)
    assert subspace.taken().int().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]  # the last one is a tie


def test_swaps_of_several_variables_do_not_fight():
    base, first = pair(12)
    second = -first
    subspace = mask(LOGITS, LOGITS[::-1], temperature=(0.01, 0.01), hard=True).eval()
    basis = subspace.basis()
    both = subspace.swap(base, {"v": first, "w": second}, basis)
    again = subspace.swap(subspace.swap(base, {"w": second}, basis), {"v": first}, basis)
    torch.testing.assert_close(both, again)
    v, w = subspace.taken()
    torch.testing.assert_close(both, torch.where(v, first, torch.where(w, second, base)))


def test_a_variable_that_is_not_intervened_in_still_claims_its_units():
    base, source = torch.zeros(1, 2), torch.ones(1, 2)
    subspace = mask([1.0, 1.0], [5.0, -5.0], hard=True).eval()
    assert subspace.swap(base, {"v": source}, subspace.basis()).tolist() == [[0, 1]]
    assert subspace.project(source, subspace.basis(), "w").tolist() == [[1, 0]]


def test_directions_are_the_units_taken():
    subspace = mask([1.0, -1.0, 2.0], [0.0, 2.0, 0.0])
    assert subspace.directions("v").T.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert subspace.directions("w").T.tolist() == [[0, 1, 0]]
    rotated = mask([1.0, -1.0, 2.0], rotated=True)
    torch.testing.assert_close(rotated.directions("v"), rotated.basis().columns[:, [0, 2]])
    assert mask([-1.0, -1.0]).directions("v").shape == (2, 0)


def test_only_what_is_trained_is_stored():
    assert set(mask([0.0, 0.0]).state_dict()) == {"temperature", "logits"}
    assert set(mask([0.0, 0.0], rotated=True).state_dict()) == {"temperature", "logits", "weight"}


def test_a_rank_is_refused():
    with pytest.raises(ValueError, match="rank=3: SigmoidMask learns how much a variable takes up"):
        SigmoidMask(8, ("v",), 3, generator_for(0))
