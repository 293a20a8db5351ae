"""Step "environment": what machine this is, and what its GPU can do. NEVER RUN ON A GPU.

The driver's facts and the versions stand in the file's conditions, as in every step's.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from mmkg_sdk.errors import MmkgError
from mmkg_sdk.files.atomic import write_atomically
from mmkg_sdk.kernels.gpu import gpu_kernels_absence

from ..gpu.power import open_meter
from ..machine.gpu_ceilings import open_worker
from .job import CEILINGS, Job
from .record import Record

# What a person with a GPU has beside the SDK.
_TOOLS = ("nvidia-smi", "compute-sanitizer", "ncu", "nsys", "nvcc")
_REHEARSED_SCALE = 1 / 64


def run(job: Job, record: Record) -> None:
    """Record the tools, the reasons for what is absent, and the ceilings, which later steps read."""
    record.add(tools={name: shutil.which(name) for name in _TOOLS})
    record.add(kernels_absence=gpu_kernels_absence(job.device))
    meter = open_meter(job.device)
    record.add(energy=meter if isinstance(meter, str) else meter.reading())
    record.add(ceilings=_ceilings(job))


def _ceilings(job: Job) -> dict[str, Any]:
    asked = {"device": job.device, "clock": job.clock, "seconds": 0.01 if job.rehearsed else 0.3}
    try:
        found = open_worker(asked | ({"scale": _REHEARSED_SCALE} if job.rehearsed else {}))({})
    except (MmkgError, ImportError) as err:
        return {"not measured": str(err)}
    write_atomically(job.folder / CEILINGS, (json.dumps(found, indent=1) + "\n").encode())
    return dict(found)
