"""Optimisers, and how the state of one is loaded into another that steps in another way, as on another device."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mmkg_sdk.run import Run
from mmkg_sdk.training import train
from mmkg_sdk.training.steps.optimizers import make_optimizers, restore
from tests.training.tiny import SETTINGS, new_objective, new_run, validation

CPU = torch.device("cpu")


def saved(fused: bool) -> dict[str, Any]:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], fused=fused)
    weight.grad = torch.ones(3)
    optimizer.step()
    return copy.deepcopy(optimizer.state_dict())


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("now", [True, False])
def test_a_state_goes_on_in_the_way_of_its_new_device(before: bool, now: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], fused=now)
    state = saved(before)
    restore(optimizer, state)
    assert optimizer.param_groups[0]["fused"] is now
    assert state["param_groups"][0]["fused"] is before, "what was read stays as it was"
    weight.grad = torch.ones(3)
    optimizer.step()
    assert optimizer.state[weight]["step"] == 2
    torch.testing.assert_close(optimizer.state[weight]["exp_avg"], torch.full((3,), 0.19))


def test_torch_alone_would_take_the_way_of_the_old_device() -> None:
    """What `restore` is for; if this fails, it may go."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    optimizer.load_state_dict(saved(fused=True))
    assert optimizer.param_groups[0]["fused"] is True


def test_a_training_begun_elsewhere_is_resumed_here_to_the_end_it_would_have_had(tmp_path: Path) -> None:
    def trained(run: Run, epochs: int) -> dict[str, torch.Tensor]:
        objective = new_objective(dropout=0.0)
        train(objective, run, replace(SETTINGS, epochs=epochs), validation(objective))
        return objective.state_dict()

    straight, begun = new_run(tmp_path / "straight"), new_run(tmp_path / "begun")
    expected = trained(straight, 6)
    trained(begun, 4)
    path = begun.folder / "resume.pt"
    state = torch.load(path, weights_only=True)
    for group in state["optimizers"][0]["param_groups"]:
        group["fused"] = True  # as a GPU's optimiser leaves it
    torch.save(state, path)
    found = trained(begun, 6)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_on_the_cpu_parameters_are_stepped_one_by_one_as_before() -> None:
    (optimizer,) = make_optimizers(new_objective(), SETTINGS, CPU)
    assert (optimizer.defaults["fused"], optimizer.defaults["foreach"]) == (None, None)
