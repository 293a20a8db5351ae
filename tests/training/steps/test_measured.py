"""Sums on the device are those of Python's floats; a wrong number is named with its step, however late it is read."""

from __future__ import annotations

import math

import pytest
import torch

from mmkg_sdk.errors import MmkgError
from mmkg_sdk.training.steps.measured import CLOCK, GRADIENT_NORM, Measured


def values(loss: float, norm: float = 1.0) -> dict[str, torch.Tensor]:
    return {"loss": torch.tensor(loss), CLOCK: torch.tensor(5.0), GRADIENT_NORM: torch.tensor(norm)}


def test_means_are_to_the_bit_those_of_a_loop_in_python() -> None:
    draw = torch.rand(200, generator=torch.Generator().manual_seed(0))
    measured, total, rows = Measured(1), 0.0, 0
    for step, loss in enumerate(draw, start=1):
        size = 64 if step < 200 else 7
        measured.add({"loss": loss, GRADIENT_NORM: loss}, size, step)
        total, rows = total + loss.item() * size, rows + size
    assert measured.means() == {"loss": total / rows}
    assert measured.rows == rows


def test_reading_gives_the_last_step_and_leaves_the_sums() -> None:
    measured = Measured(1)
    measured.add(values(1.0), 2, 1)
    assert measured.read(skipping=False) == {"loss": 1.0, CLOCK: 5.0, GRADIENT_NORM: 1.0}
    measured.add(values(4.0), 1, 2)
    assert measured.read(skipping=False)["loss"] == 4.0
    assert measured.means() == {"loss": 2.0}


@pytest.mark.parametrize(
    ("loss", "norm", "named"), [(math.nan, math.nan, "loss is nan"), (2.0, math.inf, "norm is inf")]
)
def test_the_first_number_that_is_not_finite_is_named_many_steps_later(loss: float, norm: float, named: str) -> None:
    measured = Measured(3)
    measured.add(values(1.0), 2, 1)
    measured.add(values(loss, norm), 2, 2)
    measured.add(values(-math.inf, math.nan), 2, 3)
    measured.add(values(1.0), 2, 4)
    with pytest.raises(MmkgError, match=f"{named} in epoch 3, batch 2; expected a finite number"):
        measured.read(skipping=False)


def test_gradients_that_the_loss_scaling_leaves_out_are_no_error_and_are_forgotten() -> None:
    measured = Measured(1)
    measured.add(values(1.0, math.inf), 2, 1)
    measured.read(skipping=True)
    measured.add(values(1.0), 2, 2)
    measured.read(skipping=False)
    measured.add(values(1.0, math.nan), 2, 3)
    with pytest.raises(MmkgError, match="the gradient norm is nan in epoch 1, batch 3"):
        measured.read(skipping=False)
    measured.add(values(math.nan, math.nan), 2, 4)
    with pytest.raises(MmkgError, match="loss is nan in epoch 1, batch 4"):
        measured.read(skipping=True)
