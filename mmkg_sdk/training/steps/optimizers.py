"""The optimisers of a training: Adam or AdamW of the model, and Adam of its adversary."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer

from ...families.objective import TrainingObjective
from ..settings import TrainingSettings


def make_optimizers(objective: TrainingObjective, settings: TrainingSettings, device: torch.device) -> list[Optimizer]:
    """That of the model, and that of its adversary if there is one; the objective is on its device.

    A group's "rate_factor" is what the schedule's rate is multiplied with. On a GPU all parameters are stepped in one
    kernel; on the CPU, where that has other last digits, one after the other.
    """
    fused = True if device.type == "cuda" else None
    groups = objective.parameter_groups()
    for group in groups:
        group["rate_factor"] = group.pop("learning_rate", settings.learning_rate) / settings.learning_rate
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    found: list[Optimizer] = [
        kind(groups, lr=settings.learning_rate, eps=settings.epsilon, weight_decay=settings.weight_decay, fused=fused)
    ]
    if objective.adversary is not None:
        rate = objective.adversary_learning_rate
        found.append(torch.optim.Adam(objective.adversary.parameters(), lr=rate, fused=fused))
    return found


def restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load what `state_dict` gave, on any device; how this device steps stays as `make_optimizers` chose it."""
    groups = [
        {**saved, **{name: own[name] for name in ("fused", "foreach")}}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
