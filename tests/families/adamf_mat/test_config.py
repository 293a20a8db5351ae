"""The configuration: what is refused, and the published presets."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.adamf_mat.config import PRESETS, AdaMFConfig, Config
from mmkg_sdk.training.settings import TrainingSettings

SIZES = {"num_entities": 5, "num_relations": 2, "visual_feature_width": 4, "text_feature_width": 3}


def test_a_configuration_survives_json() -> None:
    config = Config(**SIZES, margin=4.0, train_features=False)
    assert AdaMFConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_entities", 0, "num_entities is 0; expected a whole number"),
        ("embedding_dim", 2.5, "embedding_dim is 2.5; expected a whole number"),
        ("num_negatives", True, "num_negatives is True; expected a whole number"),
        ("margin", 0, "margin is 0; expected a number above 0"),
        ("margin", "12", "margin is '12'; expected a finite number"),
        ("epsilon", -1.0, "epsilon is -1.0; expected a finite number"),
        ("adversarial_weight", float("nan"), "adversarial_weight is nan; expected a finite number"),
        ("adversarial_temperature", float("inf"), "adversarial_temperature is inf; expected a finite number"),
        ("generator_learning_rate", 0.0, "generator_learning_rate is 0.0; expected a number above 0"),
        ("train_features", "no", "train_features is 'no'; expected true or false"),
        ("train_features", 0, "train_features is 0; expected true or false"),
        ("gamma", 12, "unknown AdaMF setting 'gamma'"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        AdaMFConfig.from_json({**SIZES, name: value})


def test_a_missing_size_is_refused() -> None:
    with pytest.raises(DataError, match="incomplete AdaMF configuration"):
        AdaMFConfig.from_json({"num_entities": 5})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_settings_of_the_model_and_of_the_training_only(name: str) -> None:
    training = {field.name for field in fields(TrainingSettings)}
    chosen = PRESETS[name]
    TrainingSettings.from_json({key: value for key, value in chosen.items() if key in training})
    AdaMFConfig.from_json(SIZES | {key: value for key, value in chosen.items() if key not in training})
