"""The learning rate as a function of where training stands, so that there is no scheduler state to save."""

from __future__ import annotations

import math

from .settings import TrainingSettings


def learning_rate(settings: TrainingSettings, *, epoch: int, progress: float) -> float:
    """The learning rate of a step.

    Args:
        epoch: number of complete epochs before this one, from 0.
        progress: share of the whole training that is done, 0 to 1; see `training_progress`.
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule in ("one-cycle", "linear"):
        if progress < settings.warm_up:
            return settings.learning_rate * progress / settings.warm_up
        share = (progress - settings.warm_up) / (1 - settings.warm_up)
        return settings.learning_rate * (_cosine(share) if settings.schedule == "one-cycle" else 1 - share)
    start, period = 0, settings.step_size
    while epoch >= start + period:
        start, period = start + period, period * 2
    return settings.learning_rate * _cosine((epoch - start) / period)


def training_progress(settings: TrainingSettings, *, step: int, steps: int, seconds: float) -> float:
    """The share of the training that is done: by steps or by the wall clock, whichever will end it first.

    Args:
        step: optimiser steps done before this one, over all epochs.
        steps: optimiser steps in all epochs.
        seconds: wall-clock time used so far.
    """
    by_steps = (step + 0.5) / steps  # the middle of the step: neither the first nor the last has rate 0
    by_time = seconds / (60 * settings.max_minutes) if settings.max_minutes else 0.0
    return min(1.0, max(by_steps, by_time))


def _cosine(share: float) -> float:
    """1 at share 0, 0 at share 1."""
    return 0.5 * (1 + math.cos(math.pi * share))
