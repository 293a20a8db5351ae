"""Who ranks: the compiled kernels and what the SDK itself may fall back to, each made for one table, the k best rows of
a batch as its answer. peers.py has the others.

A peer gets what makes it fast: ONNX Runtime its table as a constant, so that it is packed once; torch the block of rows
that a first try finds fastest. numpy is what the SDK itself falls back to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.exact import top_k
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

from ..machine.sessions import open_nodes
from ..machine.timing import seconds_of
from .points import Point

Table = NDArray[np.float32]
# What contenders run on unless they say otherwise.
PROCESSOR = ("cpu",)

_PRODUCT_BLOCKS = (2048, 8192, 65536)
# A difference of every query, row and coordinate should stay in a cache.
_DISTANCE_BLOCKS = (8, 32, 128, 512)
# A block is chosen with at most so many queries.
_TRIED_QUERIES = 256


@dataclass(frozen=True)
class Found:
    """One answer.

    Attributes:
        ids: int64 [batch, k], best first.
        scores: floats [batch, k], higher is better.
        details: what else the ranker says of this call, such as rows that it settled per query.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.floating]
    details: dict[str, float] = field(default_factory=dict)


Answer = Callable[[Table], Found]


@dataclass(frozen=True)
class Ranker:
    """One way to rank.

    Attributes:
        open: from table float32 [rows, width], score, k, threads, queries float32 [batch, width] of the kind that will
            be asked, to choose a block with, and the device. Raises ImportError: its package is not installed;
            BackendError: the kernels are absent, or have no such storage here.
        arithmetic: the ceiling (ceilings.py) that its first pass is held against.
        number_bytes: of a number of the table as it reads it.
        copy_bytes: of memory for every number of the table, beside the float32 one.
        score_bytes: of memory for every query and row; 0 where scores are not kept.
        distances: whether it has complex distances, too.
        approximate: whether its answers are not meant to be exact.
        devices: kinds of devices that it runs on.
    """

    open: Callable[[Table, CandidateScore, int, int, Table, str], Answer]
    arithmetic: str = "float32"
    number_bytes: int = 4
    copy_bytes: int = 0
    score_bytes: int = 0
    distances: bool = False
    approximate: bool = False
    devices: tuple[str, ...] = PROCESSOR

    def needed_bytes(self, point: Point) -> float:
        """Of memory, at the most."""
        return float(point.rows) * (point.width * (4 + self.copy_bytes) + point.batch * self.score_bytes)

    def absence(self, point: Point, device: str) -> str | None:
        """Why it cannot take part; None if it can."""
        if point.score == "distance" and not self.distances:
            return "inner products only"
        return None if parse_device(device)[0] in self.devices else f"does not run on {device}"


def _compiled(storage: Any) -> Callable[..., Answer]:
    def made(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
        scan = Scan(table, score, threads, storage=storage)

        def answer(asked: Table) -> Found:
            found, report = scan.top_k_with_report(asked, k)
            details = {"settled_per_query": report.settled / len(asked), "few_settled": report.few_settled}
            return Found(found.ids.reshape(len(asked), k), found.scores.reshape(len(asked), k), details)

        return answer

    return made


def _onnxruntime(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
    from onnx import TensorProto, helper

    width = table.shape[1]
    nodes = [
        helper.make_node("MatMul", ["queries", "table"], ["all"]),
        helper.make_node("TopK", ["all", "k"], ["scores", "ids"], largest=1, sorted=1),
    ]
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, (width, len(table)), table.T.tobytes(), raw=True),
        helper.make_tensor("k", TensorProto.INT64, (1,), [k]),
    ]
    outputs = {"ids": TensorProto.INT64, "scores": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info("queries", TensorProto.FLOAT, ("batch", width))]
    found = [helper.make_tensor_value_info(name, kind, ("batch", k)) for name, kind in outputs.items()]
    session = open_nodes(nodes, inputs, found, constants, device, threads)
    return lambda asked: Found(*session.run(list(outputs), {"queries": asked}))


def _torch(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
    import torch

    torch.set_num_threads(threads)
    rows = torch.from_numpy(table).to(device)
    halves = [half.contiguous() for half in rows.chunk(2, dim=1)] if isinstance(score, ComplexDistance) else []

    def scores(asked: torch.Tensor, block: slice) -> torch.Tensor:
        if not halves:
            return asked @ rows[block].T
        real, imaginary = (q[:, None] - half[block] for q, half in zip(asked.chunk(2, dim=1), halves, strict=True))
        return torch.hypot(real, imaginary).sum(dim=-1).neg_()  # faster than squares and a root

    def in_blocks(block: int) -> Answer:
        def answer(asked: Table) -> Found:
            with torch.inference_mode():
                given = torch.from_numpy(asked).to(device)
                blocks = [slice(start, start + block) for start in range(0, len(rows), block)]
                found = torch.cat([scores(given, part) for part in blocks], dim=1)
                best = found.topk(min(k, found.shape[1]), dim=1)
                return Found(best.indices.cpu().numpy(), best.values.cpu().numpy())

        return answer

    return _fastest([in_blocks(block) for block in _blocks(len(table), score)], queries[:_TRIED_QUERIES])


def _numpy(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
    def answer(asked: Table) -> Found:
        found = top_k(asked, table, k, None, score)
        return Found(found.ids.reshape(len(asked), k), found.scores.reshape(len(asked), k))

    return answer


# The first one is what the others are compared with.
OWN_RANKERS: dict[str, Ranker] = {
    "compiled kernel": Ranker(_compiled("float32"), distances=True),
    "compiled kernel, bfloat16 first pass": Ranker(_compiled("bfloat16"), "bfloat16", number_bytes=2, copy_bytes=2),
    "compiled kernel, int8 first pass": Ranker(_compiled("int8"), "int8", number_bytes=1, copy_bytes=1),
    # The table transposed, in the model, in the model's bytes, and in the session, until it is packed.
    "ONNX Runtime, prepacked": Ranker(_onnxruntime, copy_bytes=16, score_bytes=4),
    # A block's scores, and all of them joined; the halves of complex rows are a copy.
    "torch": Ranker(_torch, copy_bytes=4, score_bytes=8, distances=True),
    "numpy": Ranker(_numpy, distances=True),
}


def _blocks(rows: int, score: CandidateScore) -> list[int]:
    """Blocks of rows to try."""
    if isinstance(score, InnerProduct):
        return [rows, *(block for block in _PRODUCT_BLOCKS if block < rows)]
    return [block for block in _DISTANCE_BLOCKS if block < rows] or [rows]


def _fastest(ways: list[Answer], queries: Table) -> Answer:
    if len(ways) == 1:
        return ways[0]
    seconds = []
    for way in ways:
        way(queries)
        seconds.append(seconds_of(lambda way=way: way(queries)))  # type: ignore[misc]
    return ways[int(np.argmin(seconds))]
