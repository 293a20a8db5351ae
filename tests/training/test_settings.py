"""Training settings and the learning rate schedules."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from mmkg_sdk.errors import DataError
from mmkg_sdk.training import TrainingSettings
from mmkg_sdk.training.schedule import learning_rate, training_progress


def test_settings_survive_json() -> None:
    settings = TrainingSettings(epochs=3, clip_norm=None, threads=2, max_minutes=1.5, precision="bf16")
    assert TrainingSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert TrainingSettings.from_json({}) == TrainingSettings()


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(DataError, match=r"unknown training setting 'lr'.*learning_rate"):
        TrainingSettings.from_json({"lr": 0.1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", True),
        ("batch_size", -1),
        ("validate_every", "50"),
        ("patience", -1),
        ("threads", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", "0.1"),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("max_minutes", math.inf),
        ("max_minutes", 0),
        ("schedule", "cosine"),
        ("precision", "fp8"),
        ("precision", None),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"training setting {name} is {value!r}; expected"):
        TrainingSettings(**{name: value})


def test_cosine_restarts_equal_the_scheduler_of_torch() -> None:
    settings = TrainingSettings(learning_rate=1e-3, step_size=50)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=50, T_mult=2, eta_min=0)
    for epoch in range(400):
        expected = optimizer.param_groups[0]["lr"]
        assert learning_rate(settings, epoch=epoch, progress=0.0) == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_one_cycle_rises_to_the_rate_and_falls_to_zero() -> None:
    settings = TrainingSettings(learning_rate=1.0, schedule="one-cycle")
    rates = [learning_rate(settings, epoch=0, progress=progress) for progress in (0, 0.05, 0.1, 0.55, 1)]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_progress_is_that_of_the_limit_that_ends_first() -> None:
    steps = TrainingSettings(max_minutes=None)
    assert training_progress(steps, step=49, steps=100, seconds=1e9) == pytest.approx(0.495)
    both = TrainingSettings(max_minutes=2)
    assert training_progress(both, step=49, steps=100, seconds=90) == pytest.approx(0.75)
    assert training_progress(both, step=49, steps=100, seconds=12) == pytest.approx(0.495)
    assert training_progress(both, step=49, steps=100, seconds=500) == 1.0
