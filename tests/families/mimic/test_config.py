"""The configuration: what is refused, and the published presets."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mimic.config import PRESETS, Config, MimicConfig, clip_sizes
from mmkg_sdk.training.settings import TrainingSettings


def test_a_configuration_survives_json() -> None:
    config = Config(text_length=14, image_unit_dim=28)
    assert MimicConfig.from_json(config.to_json()) == config


def test_the_defaults_are_the_published_model() -> None:
    config = Config()
    assert config.num_image_tokens == 50
    assert (config.text_width, config.image_width, config.text_length) == (512, 768, 40)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_text_layers", 0, "num_text_layers is 0; expected a whole number"),
        ("image_unit_dim", 9.5, "image_unit_dim is 9.5; expected a whole number"),
        ("text_width", True, "text_width is True; expected a whole number"),
        ("num_text_heads", 7, "text_width 512 is not a multiple of num_text_heads 7"),
        ("num_image_heads", 7, "image_width 768 is not a multiple of num_image_heads 7"),
        ("patch_size", 33, "image_size 224 is not a multiple of patch_size 33"),
        ("text_length", 78, "text_length is 78, but CLIP's text tower has 77 positions"),
        ("without_unit", "tglu", "without_unit is 'tglu'; expected '', 'text', 'image' or 'image_text'"),
        ("without_unit", None, "without_unit is None; expected '', 'text', 'image' or 'image_text'"),
        ("dv", 96, "unknown Mimic setting 'dv'"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        MimicConfig.from_json({name: value})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_settings_of_the_model_and_of_the_training_only(name: str) -> None:
    training = {field.name for field in fields(TrainingSettings)}
    chosen = PRESETS[name]
    TrainingSettings.from_json({key: value for key, value in chosen.items() if key in training})
    MimicConfig.from_json({key: value for key, value in chosen.items() if key not in training})


def test_clip_configurations_become_sizes_and_foreign_ones_are_refused() -> None:
    sizes = clip_sizes({"hidden_size": 512, "num_attention_heads": 8, "projection_dim": 512}, {"image_size": 224})
    assert sizes == {"text_width": 512, "num_text_heads": 8, "image_size": 224}
    assert clip_sizes({}, {}) == {}
    with pytest.raises(DataError, match="text tower has activation 'gelu'"):
        clip_sizes({"hidden_act": "gelu"}, {})
    with pytest.raises(DataError, match="vision tower has activation 'quick_gelu' and layer norm epsilon 1e-06"):
        clip_sizes({}, {"layer_norm_eps": 1e-6})
