"""What can be set for a training, from the classes and their docstrings."""

from __future__ import annotations

import dataclasses

import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.families import contract
from mmkg_sdk.registry import FAMILIES
from mmkg_sdk.training import TrainingSettings
from mmkg_sdk.training.listing import check_names, settings_of


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_has_a_meaning_and_every_preset_is_made_of_settings(family: str) -> None:
    settings = {one.name: one for one in settings_of(family)}
    config = contract.config_part(family).Config
    expected = {field.name for kind in (config, TrainingSettings) for field in dataclasses.fields(kind)}
    assert set(settings) == expected
    assert all(len(one.meaning) > 5 for one in settings.values())
    for preset in contract.config_part(family).PRESETS.values():
        check_names(family, preset)


def test_types_and_defaults_are_those_of_the_classes() -> None:
    found = {one.name: one for one in settings_of("adamf_mat")}
    assert (found["margin"].type, found["margin"].default, found["margin"].trains) == ("float", 12.0, False)
    assert found["missing_modalities"].type == '"zeros" or "mask"'
    assert found["num_entities"].decided_by_data
    assert (found["clip_norm"].type, found["clip_norm"].default) == ("float or null", 0.1)
    assert found["max_minutes"].default is None
    assert not found["max_minutes"].decided_by_data
    assert found["seed"].meaning == "of torch, Python and numpy."
    assert found["max_minutes"].meaning.endswith("reach 0 at that time. None = no limit.")


def test_a_name_of_two_settings_is_listed_as_the_one_that_it_sets() -> None:
    """AdaMF-MAT's configuration and Adam both have an epsilon."""
    (epsilon,) = (one for one in settings_of("adamf_mat") if one.name == "epsilon")
    assert epsilon.trains
    assert epsilon.default == 1e-8


def test_an_unknown_setting_is_named_with_near_ones() -> None:
    with pytest.raises(
        DataError, match=r"unknown setting 'learning_rat' of mygo; near: 'learning_rate'.*--list-settings"
    ):
        check_names("mygo", ["epochs", "learning_rat"])
