"""Program of test_torchrun, started by torchrun: trains the small model in several ways."""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mmkg_sdk.errors import MmkgError
from mmkg_sdk.run import Run
from mmkg_sdk.training import TrainingSettings, train
from mmkg_sdk.training.distributed import ProcessGroup, process_group
from mmkg_sdk.training.steps import compiled
from tests.training.tiny import SETTINGS, Objective, new_objective, new_run, validation

# 40 triples: batches of 13, 13, 13 (7 and 6 rows a process) and 1 (too few to share).
UNEVEN = replace(SETTINGS, batch_size=13)


class DivergesInSecondProcess(Objective):
    rank = 0

    def forward(self, triples: Tensor, tails: Tensor) -> dict[str, Tensor]:
        outputs = super().forward(triples, tails)
        return outputs | {"loss": outputs["loss"] * (math.nan if self.rank == 1 else 1)}


def shared_run(group: ProcessGroup, folder: Path) -> Run:
    """A run that the first process makes, unless it is there, and all of them open.

    Only the first process looks: another one might see the run that is just being made, and skip the barrier.
    """
    if group.is_first and not folder.exists():
        new_run(folder)
    group.barrier()
    return Run.open(folder)


def first_only(group: ProcessGroup, validate: Callable[[], dict[str, float]]) -> Callable[[], dict[str, float]]:
    def checked() -> dict[str, float]:
        assert group.is_first, "only the first process validates"
        return validate()

    return checked


def main(folder: Path) -> None:
    with process_group("cpu") as group:

        def trained(name: str, objective: Objective, settings: TrainingSettings, *mrrs: float) -> Objective:
            scripted = iter(mrrs)
            validate = (lambda: {"mrr": next(scripted)}) if mrrs else validation(objective)
            run = shared_run(group, folder / name)
            result = train(objective, run, settings, first_only(group, validate))
            with open(folder / f"{name}.{group.rank}.txt", "w") as file:
                file.write(f"{result.epochs} {result.stopped_by}")
            group.barrier()
            return objective

        trained("plain", new_objective(dropout=0.0), UNEVEN)
        compiled.BACKEND = "aot_eager"  # the graphs without the time of a C++ compiler
        trained("compiled", new_objective(dropout=0.0), replace(UNEVEN, compile=True))

        # The second process begins with other weights: the first one's must win.
        different = new_objective(dropout=0.0)
        with torch.no_grad():
            different.model.entities.add_(group.rank)
        trained("extended", different, replace(UNEVEN, epochs=4))
        trained("extended", new_objective(dropout=0.0), UNEVEN)

        trained("patience", new_objective(), replace(UNEVEN, epochs=100, patience=2), 0.3, 0.2, 0.1)

        timed = replace(UNEVEN, epochs=10**6, schedule="one-cycle", max_minutes=0.5 / 60, validate_every=10**6)
        objective = trained("timed", new_objective(), timed)
        torch.save(objective.model.state_dict(), folder / f"timed.{group.rank}.pt")

        diverging = new_objective()
        diverging.__class__ = DivergesInSecondProcess
        DivergesInSecondProcess.rank = group.rank
        try:
            trained("diverging", diverging, UNEVEN)
        except MmkgError as err:
            (folder / f"diverging.{group.rank}.txt").write_text(str(err))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # The caught error's traceback holds tensors in a cycle. Left to the interpreter's exit, torch aborted in one run
    # of five, after all work was done.
    gc.collect()
