"""GpuPoint: one contender at one cell, and the row that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families import contract
from mmkg_sdk.families.measuring import KERNELS, TOKEN_TABLE, measuring

from ..machine.ceilings import Ceilings
from ..machine.work import Bound, share_of_steps
from ..report.percentiles import Numbers, latency_numbers, rate_numbers
from ..report.results import Row
from .cells import Cell
from .contenders import GpuContender
from .measurements import LOAD
from .steps import steps_of

NOT_REACHED = "not reached"
# What a row calls the samples.
_TIMES = {
    "gpu": "gpu_ms",
    "gpu_warm": "gpu_warm_ms",
    "gpu_graph": "gpu_graph_ms",
    "enqueue": "enqueue_ms",
    "host": "latency_ms",
    "h2d": "h2d_ms",
    "d2h": "d2h_ms",
}
# Above this share of its time on the device a call is bound by how fast the host launches.
_LAUNCH_SHARE = 0.8


@dataclass
class GpuPoint:
    """What the rounds found so far.

    Attributes:
        agreement: the largest difference from the CPU's numbers as a share of their root mean square.
        right: see `reference.difference`.
    """

    name: str
    contender: GpuContender
    cell: Cell
    bundle: Bundle
    device: str
    ceilings: Ceilings
    replies: list[dict[str, Any]] = field(default_factory=list)
    agreement: float | None = None
    right: Numbers = field(default_factory=dict)
    note: str | None = None
    failed: bool = False

    @property
    def open(self) -> bool:
        """Whether another round should try it."""
        return self.note is None

    def row(self) -> Row:
        """What is known by now."""
        cell, numbers, bound, no_work = self.cell, dict[str, float | None](), None, None
        if self.replies:
            numbers, bound, no_work = self._numbers()
        status = "measured" if self.replies and not self.failed else "failed" if self.failed else "not measured"
        return Row(
            mode=cell.mode,
            contender=self.name,
            backend=self.contender.backend or "peer",
            device=self.device,
            graph=self._graph(),
            tokens="all" if cell.token_count else None,
            token_count=cell.token_count,
            batch=cell.batch,
            own_batch=False,
            load=LOAD if self._served() else None,
            unit=cell.unit,
            status=status,  # type: ignore[arg-type]
            samples=sum(len(reply["samples"]["host"]) for reply in self.replies),
            rounds=len(self.replies),
            items_per_sample=cell.batch,
            max_difference=self.agreement,
            bound=bound,
            no_work=no_work,
            sustained=self._sustained(),
            note=self._note(),
            numbers=numbers,
            k=cell.k,
        )

    def _numbers(self) -> tuple[Numbers, Bound | None, str | None]:
        numbers: Numbers = rate_numbers([reply["rates"] for reply in self.replies])
        for name, called in _TIMES.items():
            if rounds := [reply["samples"][name] for reply in self.replies if reply["samples"][name]]:
                numbers |= latency_numbers(rounds, called)
        numbers["first_ms"] = max(reply["samples"]["first"][0] for reply in self.replies)
        numbers["open_ms"] = self.replies[0]["open_ms"]
        for reply in self.replies:
            numbers |= {name: reply[name] for name in ("mj_per_item", "watts")} | reply["watched"]
        if served := self._served():
            numbers["offered_per_second"] = served[-1]["offered_per_second"]
            found = latency_numbers([reply["served"]["latency_ms"] for reply in served], "served_ms")
            numbers |= {name: found[name] for name in ("served_ms_p50", "served_ms_p99")}
        return self._with_work(numbers | self.right)

    def _with_work(self, numbers: Numbers) -> tuple[Numbers, Bound | None, str | None]:
        """The numbers with the share of a ceiling, which ceiling binds, and why there is none."""
        steps, no_work = steps_of(self.cell, self.contender, self.bundle, self._graph())
        gpu = numbers.get("gpu_ms_p50")
        rate = numbers["per_second"] if gpu is None else 1e3 * self.cell.batch / gpu
        bound: Bound | None = None
        if steps and rate:
            share = share_of_steps(steps, rate, self.ceilings)
            bound = share.bound
            numbers |= {
                "flop_per_item": sum(step.flop for step in steps),
                "bytes_per_item": sum(step.bytes for step in steps),
                "gflop_per_second": share.gflop_per_second,
                "gb_per_second": share.gb_per_second,
                "ceiling_per_second": share.ceiling_per_second,
                "percent_of_ceiling": share.percent,
            }
            if share.bound is None:
                no_work = "; ".join(
                    dict.fromkeys(
                        rate.by
                        for rate in (self.ceilings.read, *(self.ceilings.arithmetic[step.arithmetic] for step in steps))
                        if rate.per_second is None
                    )
                )
        enqueue = numbers.get("enqueue_ms_p50")
        if gpu is not None and enqueue is not None and enqueue > _LAUNCH_SHARE * gpu:
            bound = "launching"
        return numbers, bound, no_work

    def _graph(self) -> str | None:
        """What is run."""
        if self.cell.mode == "gpu-query":
            return "query_encoder"
        if self.cell.mode != "gpu-encode":
            return None
        if self.contender.backend == KERNELS:
            (curve,) = measuring(self.bundle.family).curves(self.bundle)
            return curve.graph + TOKEN_TABLE
        return contract.link_runtime(self.bundle.family).encoder_graph(self.bundle)

    def _served(self) -> list[dict[str, Any]]:
        return [reply for reply in self.replies if reply["served"]]

    def _sustained(self) -> bool | None:
        every = [reply["served"]["sustained"] for reply in self._served()]
        return False if False in every else None if None in every or not every else True

    def _note(self) -> str | None:
        """What a reader must know: why there is no number, or what is not to be seen from one."""
        if self.note is not None:
            return self.note
        if not self.replies:
            return NOT_REACHED
        said = [self.contender.remark] if self.contender.remark else []
        for reply in self.replies:
            said += [f"no {what} time: {why}" for what, why in reply["samples"]["notes"].items()]
            said += [f"slower clocks: {why}" for why in reply["throttled"]]
        return "; ".join(dict.fromkeys(said)) or None
