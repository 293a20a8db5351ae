"""Job: what the process of a step is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..machine.ceilings import Ceilings, Rate
from ..machine.clock import ClockKind

CEILINGS = "ceilings.json"


@dataclass(frozen=True)
class Job:
    """Attributes:
    out: folder of the results.
    seconds: that the step may take; it should be done before.
    device: "cuda:N", or "cpu" in a rehearsal.
    rehearsed: tiny sizes, on a processor: nothing is a measurement of a GPU.
    argument: see `plan.Step`.
    data: folder of DB15K; None where none was given.
    bundle: folder of the bundle; the step "bundle" makes it where it is not there.
    """

    out: str
    seconds: float
    device: str
    rehearsed: bool
    argument: str
    data: str | None
    bundle: str

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @property
    def folder(self) -> Path:
        """`out` as a path."""
        return Path(self.out)

    @property
    def clock(self) -> ClockKind:
        """What times work."""
        return "host" if self.rehearsed else "device"

    def ceilings(self) -> Ceilings:
        """Those that the first step measured."""
        try:
            return Ceilings.from_json(json.loads((self.folder / CEILINGS).read_text(encoding="utf-8")))
        except (OSError, KeyError, TypeError, ValueError) as err:
            none = Rate(None, f"not measured: {type(err).__name__}")
            return Ceilings(none, dict.fromkeys(("float32", "bfloat16", "float16"), none))
