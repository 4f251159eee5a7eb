"""Variables at sites: shared subspaces, overlaps, what is trainable."""

import pytest
import torch

from iit_lab.alignment.alignment import place
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.subspaces.identity import IdentitySlice
from iit_lab.subspaces.mask import SigmoidMask
from iit_lab.subspaces.pca import PrincipalComponents
from iit_lab.subspaces.rotation import LowRankRotation

MODEL = MLP([8, 8], (4,), 2, generator_for(0))


def build(subspace=LowRankRotation, rank=None, trainable=True, **where) -> Intervention:
    alignment = place(("left", "right"), layer=0, trainable=trainable, **where)
    return Intervention(alignment, MODEL, Interchange(), subspace, generator_for(1), rank)


def test_variables_at_one_site_share_a_subspace_with_disjoint_slots():
    intervention = build(rank=3)
    assert len(intervention.subspaces) == 1
    assert intervention.subspace(intervention.places[0]).slots == {"left": slice(0, 3), "right": slice(3, 6)}


def test_variables_at_different_sites_have_subspaces_of_their_own():
    intervention = build(variables={"left": {"units": "0:4"}, "right": {"units": "4:8"}}, rank=2)
    assert [tuple(module.weight.shape) for module in intervention.subspaces] == [(4, 2), (4, 2)]


def test_a_variable_may_live_at_several_sites():
    intervention = build(
        variables={"left": [{"layer": 0, "units": "0:2"}, {"layer": 1}]}, subspace=IdentitySlice
    )
    assert [str(where.site) for where in intervention.touched(["left"])] == [
        "layer0.block_output[0:2]",
        "layer1.block_output",
    ]


def test_overlapping_slices_are_refused():
    with pytest.raises(ValueError, match="left and right overlap, .* share unit 3"):
        build(variables={"left": {"units": "0:4"}, "right": {"units": "3:8"}})


def test_a_whole_site_and_a_part_of_it_overlap():
    with pytest.raises(ValueError, match="left and right overlap"):
        build(variables={"left": {}, "right": {"units": "3:8"}})


def test_all_units_by_name_are_the_whole_site():
    intervention = build(variables={"left": {}, "right": {"units": "0:8"}}, rank=4)
    assert len(intervention.places) == 1


@pytest.mark.parametrize(
    ("subspace", "trainable", "expected"),
    [
        (LowRankRotation, True, True),
        (LowRankRotation, False, False),
        (IdentitySlice, True, False),
    ],
)
def test_what_is_trainable(subspace, trainable, expected):
    assert build(subspace, rank=2, trainable=trainable).trainable is expected


def test_a_variable_that_is_not_aligned_is_refused():
    with pytest.raises(ValueError, match="variables=.'right'.: the alignment has .'left'."):
        build(variables={"left": {}}).touched(["left", "right"])


def test_units_keep_their_order_even_if_they_are_all_of_them():
    intervention = build(
        variables={"left": {"units": [7, 6, 5, 4, 3, 2, 1, 0]}}, subspace=IdentitySlice, rank=1
    )
    activation = torch.arange(8.0)[None]
    assert MODEL.read(activation, intervention.places[0].site)[0, 0] == 7


def test_sizes_are_averaged_over_places_and_variables():
    where = {"left": [{"layer": 0}, {"layer": 1}], "right": {"layer": 0}}
    intervention = build(SigmoidMask, variables=where)
    with torch.no_grad():
        intervention.subspaces[0].logits[:] = torch.tensor([[9.0] * 4 + [-9.0] * 4, [-9.0] * 4 + [9.0] * 4])
        intervention.subspaces[1].logits[:] = 9.0
    assert intervention.sizes() == {"left": 0.75, "right": 0.5}
    assert intervention.size().item() == pytest.approx(2 / 3, abs=1e-3)
    intervention.size().backward()
    assert all(parameter.grad is not None for parameter in intervention.parameters())


def test_what_is_fixed_has_no_size():
    intervention = build(rank=3)
    assert intervention.sizes() == {} and intervention.size().item() == 0
    assert not intervention.anneals


def test_a_variable_with_the_whole_site_leaves_nothing_to_train():
    alignment = place(("left",), layer=0)
    assert not Intervention(alignment, MODEL, Interchange(), LowRankRotation, generator_for(1), 8).trainable
    assert Intervention(alignment, MODEL, Interchange(), LowRankRotation, generator_for(1), 7).trainable


def test_components_are_taken_from_the_inputs():
    intervention = build(PrincipalComponents, rank=2)
    inputs = torch.randn(50, 4, generator=generator_for(2))
    intervention.calibrate(MODEL, inputs)
    activations = MODEL.collect(inputs, [intervention.places[0].site])[intervention.places[0].site]
    alone = PrincipalComponents(8, ("left", "right"), 2)
    alone.fit(activations.detach())
    assert torch.equal(intervention.subspaces[0].directions("right"), alone.directions("right"))
    assert not intervention.trainable
