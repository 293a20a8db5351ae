"""What is measured in the steps of an epoch, summed and watched on the device, and read from time to time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import MmkgError

# Not logged, and not summed into anything.
GRADIENT_NORM, ADVERSARY_NORM, CLOCK = "the gradient norm", "the gradient norm of the adversary", "the clock"
_NOT_LOGGED = (GRADIENT_NORM, ADVERSARY_NORM, CLOCK)

# Steps between two readings on a GPU. Each waits until the GPU has worked off its queue; a CPU has none, and is read at
# every step.
READ_EVERY = 50


class Measured:
    """The measurements of one epoch.

    A number that is not finite is noticed when the measurements are read, and named with the step that it came from.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch, self.rows = epoch, 0
        self._names: list[str] = []
        self._totals = self._values = self._wrong_step = self._wrong_value = torch.empty(0)

    def add(self, values: Mapping[str, Tensor], rows: int, step: int) -> None:
        """Take the measurements of a step, without waiting for them.

        Args:
            values: float32 scalars on one device, in the order they were computed; of every step the same.
            rows: of the step's batch.
            step: in the epoch, from 1.
        """
        self._values = torch.stack(list(values.values())).double()
        if not self._names:
            self._names = list(values)
            self._totals, self._wrong_value = torch.zeros_like(self._values), torch.zeros_like(self._values)
            self._wrong_step = torch.zeros_like(self._values, dtype=torch.int64)
        self.rows += rows
        # Two operations, so that the sum is rounded as Python would.
        self._totals += self._values * rows
        first = (self._wrong_step == 0) & ~self._values.isfinite()
        self._wrong_step = torch.where(first, step, self._wrong_step)
        self._wrong_value = torch.where(first, self._values, self._wrong_value)

    def read(self, *, skipping: bool) -> dict[str, float]:
        """The measurements of the last step, by name.

        Args:
            skipping: whether steps with gradients that are not finite are left out, as by the loss scaling of fp16.

        Raises:
            MmkgError: a number was not finite.
        """
        last, steps, wrong = torch.stack([self._values, self._wrong_step.double(), self._wrong_value]).tolist()
        found = [
            (step, place)
            for place, (step, name) in enumerate(zip(steps, self._names, strict=True))
            if step and not (skipping and name in (GRADIENT_NORM, ADVERSARY_NORM))
        ]
        if found:
            step, place = min(found)
            raise MmkgError(
                f"{self._names[place]} is {wrong[place]} in epoch {self.epoch}, batch {int(step)}; expected a finite "
                "number. Lower the learning rate, or use precision 'fp32'."
            )
        self._wrong_step = torch.zeros_like(self._wrong_step)
        return dict(zip(self._names, last, strict=True))

    def means(self) -> dict[str, float]:
        """What is logged of the epoch, by name: means over its rows. Not finite where a step was."""
        totals = dict(zip(self._names, self._totals.tolist(), strict=True))
        return {name: total / self.rows for name, total in totals.items() if name not in _NOT_LOGGED}
