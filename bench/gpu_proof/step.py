"""The process of a step: `python -m mmkg_sdk.bench.gpu_proof.step NAME JOB`.

Exit codes: 0 done; 4 it cannot be measured here, and the record says why; else it failed.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol, cast

from mmkg_sdk.errors import MmkgError

from ..machine.environment import environment
from .job import Job
from .plan import PLAN, Step
from .record import Record

NOT_MEASURED = 4


class StepModule(Protocol):
    """A module that does a step."""

    def run(self, job: Job, record: Record) -> None:
        """Do it; rows are recorded as they come. Raises MmkgError or ImportError: it cannot be done here."""
        ...


def module_of(step: Step) -> StepModule:
    """What does a step."""
    found: ModuleType = importlib.import_module(f".{step.module}", __package__)
    return cast(StepModule, found)


def main() -> None:
    """Do the step that was named."""
    (step,) = (one for one in PLAN if one.name == sys.argv[1])
    job = Job(**json.loads(sys.argv[2]))
    conditions = {"step": step.name, "what": step.what, "rehearsed": job.rehearsed}
    conditions["environment"] = environment(device=job.device)
    record = Record(job.folder / f"{step.name}.json", conditions)
    try:
        for package in step.packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(f"{package} is not installed", name=package)
        module_of(step).run(job, record)
    except (MmkgError, ImportError) as err:
        record.add(status="not measured", note=str(err))
        print(f"not measured: {err}", file=sys.stderr)
        sys.exit(NOT_MEASURED)
    record.finish()


if __name__ == "__main__":
    main()
