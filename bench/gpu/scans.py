"""Scans: a contender of the scan stage, open for one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.ranking.scores import CandidateScore

from ..machine.clock import ClockKind, DeviceClock
from ..report.results import Providers
from .calls import Call

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Scans:
    """Attributes:
    clock: that of a call, for the stream that it works on.
    call: from the turns' queries, float32 [batch, width] each, and k; each call has a stream of its own.
    providers: where a graph's nodes went, see Providers.
    """

    clock: Callable[[Any], DeviceClock]
    call: Callable[[list[Table], int], Call]
    providers: Providers = field(default_factory=dict)


# From the table, its score, the kind of clock, the device and the CPU threads. Raises ImportError, or BackendError: it
# is not installed, or has no such score or device.
OpenScans = Callable[[Table, CandidateScore, ClockKind, str, int], Scans]
