"""SweepPoint: one contender at one place of a sweep, and the row that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.measuring import Contender, measuring

from ..machine.ceilings import Ceilings
from ..machine.work import Share, Work, arithmetic_of, share_of_ceiling
from ..report.percentiles import Numbers, latency_numbers, rate_numbers, start_numbers
from ..report.results import Row
from .places import Place

_NUMBER_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass
class SweepPoint:
    """What the rounds found so far for one contender at one place."""

    contender: Contender
    place: Place
    bundle: Bundle
    device: str
    ceilings: Ceilings
    replies: list[dict[str, Any]] = field(default_factory=list)
    numbers: Numbers = field(default_factory=dict)
    max_difference: float | None = None
    note: str | None = None
    failed: bool = False
    offered_per_second: float | None = None
    share: Share | None = None

    @property
    def open(self) -> bool:
        """Whether another round should try it: what failed once or cannot be is left alone."""
        return self.note is None

    def add(self, reply: dict[str, Any]) -> None:
        """What a round found. The row is asked for much more often, and the samples may be a million."""
        self.replies.append(reply)
        self.numbers = self._numbers()

    def row(self) -> Row:
        place, curve = self.place, self.place.curve
        found = self.replies[-1] if self.replies else {}
        return Row(
            mode=place.mode,
            contender=self.contender.name,
            backend=self.contender.backend,
            device=self.device,
            graph=self.contender.graph(curve) if curve else None,
            tokens=curve.tokens if curve else None,
            token_count=place.token_count,
            batch=place.batch or found.get("batch"),
            own_batch=place.mode == "throughput" and place.batch is None,
            load=place.load,
            unit=place.unit,
            status="measured" if self.replies else "failed" if self.failed else "not measured",
            samples=self._samples(),
            rounds=len(self.replies),
            items_per_sample=found.get("items_per_sample"),
            max_difference=self.max_difference,
            bound=self.share.bound if self.share else None,
            no_work=self._no_work(),
            sustained=self._sustained(),
            note=self.note,
            numbers=self.numbers,
        )

    def _samples(self) -> int:
        return sum(len(reply.get("per_second") or reply.get("latency_ms") or [reply]) for reply in self.replies)

    def _sustained(self) -> bool | None:
        every = [reply.get("sustained") for reply in self.replies]
        return False if False in every else None if None in every or not every else True

    def _numbers(self) -> Numbers:
        if self.place.mode == "cold-start":
            return start_numbers(self.replies)
        if self.place.mode in ("throughput", "offline"):
            rates = rate_numbers([reply["per_second"] for reply in self.replies])
            return rates | self._work_numbers(rates["per_second"] or 0.0)
        offered: Numbers = {"offered_per_second": self.offered_per_second} if self.place.load else {}
        return offered | latency_numbers([reply["latency_ms"] for reply in self.replies])

    def _work_numbers(self, per_second: float) -> Numbers:
        """What an item costs, and where its rate stands beside the ceilings; none for questions."""
        work = self._work()
        if work is None:
            return {}
        self.share = share_of_ceiling(work, per_second, self.ceilings)
        return {
            "flop_per_item": work.flop,
            "bytes_per_item": work.bytes,
            "gflop_per_second": self.share.gflop_per_second,
            "gb_per_second": self.share.gb_per_second,
            "ceiling_per_second": self.share.ceiling_per_second,
            "percent_of_ceiling": self.share.percent,
        }

    def _work(self) -> Work | None:
        curve, count, found = self.place.curve, self.place.token_count, self.replies[-1]
        arithmetic = arithmetic_of(self.bundle.precision)
        if curve is None or count is None or arithmetic is None:
            return None
        if curve.tokens == "all":
            return entity_work(self.bundle, self.contender.graph(curve), count, found["batch"])
        return Work(**found["work"], arithmetic=arithmetic)

    def _no_work(self) -> str | None:
        if not self.place.curve or not self.replies or (self.share and self.share.bound):
            return None
        arithmetic = arithmetic_of(self.bundle.precision)
        if arithmetic is None:
            return f"no ceiling of {self.bundle.precision} arithmetic is measured"
        rates = (self.ceilings.read, self.ceilings.arithmetic[arithmetic])
        return "; ".join(rate.by for rate in rates if rate.per_second is None)


def entity_work(bundle: Bundle, graph: str, token_count: int, batch: int) -> Work | None:
    """Of encoding one entity; None for a precision of whose arithmetic no ceiling is measured.

    Args:
        graph: of the contender.
        batch: entities per run, which share its weights.
    """
    arithmetic = arithmetic_of(bundle.precision)
    if arithmetic is None:
        return None
    found = measuring(bundle.family).encoder_work(bundle, graph, token_count, _NUMBER_BYTES[bundle.precision])
    return Work(found.flop, found.item_bytes + found.weight_bytes / batch, arithmetic)
