"""The configuration: what is refused, and the published presets."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.mkgformer.config import PRESETS, Config, MKGformerConfig
from mmkg_sdk.training.settings import TrainingSettings

SIZES: dict[str, dict[str, Any]] = {
    "link-prediction": {"task": "link-prediction", "num_entities": 14951, "num_relations": 237},
    "relation-extraction": {"task": "relation-extraction", "num_labels": 23},
    "entity-recognition": {"task": "entity-recognition", "num_labels": 13},
}


@pytest.mark.parametrize("task", SIZES)
def test_a_configuration_survives_json(task: str) -> None:
    config = Config(**SIZES[task], num_layers=9)
    assert MKGformerConfig.from_json(config.to_json()) == config


def test_the_published_sizes() -> None:
    links, relations, tags = (Config(**sizes) for sizes in SIZES.values())
    assert [config.vocabulary_size for config in (links, relations, tags)] == [30522 + 14951 + 237, 30526, 30522]
    assert [config.visual_tokens for config in (links, relations, tags)] == [109, 61, 61]


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("link-prediction", {"task": "analogy"}, "task is 'analogy'; expected 'link-prediction' or"),
        ("link-prediction", {"num_entities": None}, "num_entities is None; for link-prediction expected a whole"),
        ("link-prediction", {"num_relations": 0}, "num_relations is 0; expected a whole number"),
        ("link-prediction", {"num_labels": 3}, "num_labels is 3; for link-prediction expected None"),
        ("relation-extraction", {"num_labels": None}, "num_labels is None; for relation-extraction expected a whole"),
        ("entity-recognition", {"num_entities": 3}, "num_entities is 3; for entity-recognition expected None"),
        ("entity-recognition", {"num_aux_images": True}, "num_aux_images is True; expected a whole number"),
        ("link-prediction", {"hidden_dim": 100}, "hidden_dim 100 is not a multiple of num_heads 12"),
        ("link-prediction", {"aux_image_size": 100}, "aux_image_size 100 is not a multiple of patch_size 32"),
        ("link-prediction", {"max_length": 513}, "max_length is 513, but the text tower has 512 positions"),
        ("relation-extraction", {"num_aux_images": 2}, "make 32 patches of 32 pixels.*positions for exactly 48"),
        ("relation-extraction", {"rcnn_image_size": 96}, "make 27 patches of 32 pixels.*positions for exactly 12"),
        ("link-prediction", {"loss": "mse"}, "loss is 'mse'; expected 'bce' or 'cross-entropy'"),
        ("link-prediction", {"stage": 3}, "stage is 3; expected 1 or 2"),
        ("link-prediction", {"dropout": 1.0}, "dropout is 1.0; expected a share"),
        ("link-prediction", {"fusion_start_layer": 0}, "fusion_start_layer is 0; expected a whole number"),
        ("link-prediction", {"heads": 12}, "unknown MKGformer setting 'heads'"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(task: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Config.from_json({**SIZES[task], **changes})


def test_absent_image_groups_are_allowed_and_have_no_tokens() -> None:
    changes = {"num_aux_images": None, "num_rcnn_images": None}
    assert Config(**SIZES["link-prediction"], **changes).visual_tokens == 49
    assert Config(**SIZES["entity-recognition"], **changes).visual_tokens == 1


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_settings_of_the_model_and_of_the_training_only(name: str) -> None:
    training = {field.name for field in fields(TrainingSettings)}
    chosen = PRESETS[name]
    TrainingSettings.from_json({key: value for key, value in chosen.items() if key in training})
    sizes = SIZES[chosen["task"]]
    Config.from_json(sizes | {key: value for key, value in chosen.items() if key not in training})
