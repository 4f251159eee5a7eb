"""Where a subspace lies: hand-made directions, and a site at some positions of a network."""

import torch

from iit_lab.alignment.alignment import Alignment
from iit_lab.analysis.positions import of_intervention, shares
from iit_lab.interventions.interchange import Interchange
from iit_lab.interventions.intervention import Intervention
from iit_lab.models.gpt2_loading import classifier
from iit_lab.models.mlp import MLP
from iit_lab.randomness import generator_for
from iit_lab.sites import Site
from iit_lab.subspaces.identity import IdentitySlice

GPT2 = {"n_layer": 2, "n_embd": 4, "n_head": 2, "n_positions": 8, "vocab_size": 9}


def test_directions_of_known_places():
    columns = torch.zeros(6, 2)
    columns[0, 0] = 1.0  # position 0
    columns[3, 1], columns[4, 1] = 0.6, 0.8  # position 1 and position 2
    torch.testing.assert_close(shares(columns, 3), torch.tensor([0.5, 0.18, 0.32]))


def test_positions_keep_their_names():
    model = classifier((6,), 3, generator_for(0), config=GPT2)
    site = Site(1, "block_output", positions=(2, 5), units=(0, 1, 3))
    alignment = Alignment({"P": (site,)})
    made = Intervention(alignment, model, Interchange(), IdentitySlice, generator_for(0))
    assert of_intervention(model, made) == {"share/position_2": 0.5, "share/position_5": 0.5}


def test_a_network_without_positions_has_none():
    model = MLP([4], (4,), 2, generator_for(0))
    alignment = Alignment({"P": (Site(0, "block_output"),)})
    made = Intervention(alignment, model, Interchange(), IdentitySlice, generator_for(0))
    assert of_intervention(model, made) == {}
