"""Binding config nodes to what they build."""

import pytest

from iit_lab.config import ConfigError
from iit_lab.jobs.targets import check_targets


def test_a_partial_s_keys_are_bound_too():
    node = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1, "momentum": 0.9}
    with pytest.raises(ConfigError, match="optimizer.momentum=0.9: Adam takes"):
        check_targets({"optimizer": node})


def test_a_whole_number_is_a_number_and_a_list_a_sequence():
    check_targets(
        {
            "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1},
            "model": {"_target_": "iit_lab.models.mlp.MLP", "_partial_": True, "hidden": [16, 8]},
        }
    )


def test_an_element_of_the_wrong_type_is_found():
    node = {"_target_": "iit_lab.models.mlp.MLP", "_partial_": True, "hidden": [16, "wide"]}
    with pytest.raises(ConfigError, match="model.hidden"):
        check_targets({"model": node})
