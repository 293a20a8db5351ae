"""Who ranks: the compiled kernels and their peers, each made for one table, the k best rows of a batch as its answer.

A peer gets what makes it fast: ONNX Runtime its table as a constant, so that it is packed once; torch the block of rows
that a first try finds fastest. numpy is what the SDK itself falls back to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.onnxruntime import session_options
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking import top_k
from mmkg_sdk.scores import CandidateScore, ComplexDistance, InnerProduct

Table = NDArray[np.float32]
# Ids of the k best rows of each query, int64 [batch, k].
Answer = Callable[[Table], NDArray[np.int64]]

_PRODUCT_BLOCKS = (2048, 8192, 65536)
# A difference of every query, row and coordinate should stay in a cache.
_DISTANCE_BLOCKS = (8, 32, 128, 512)


def open_ranker(name: str, table: Table, score: CandidateScore, k: int, threads: int, queries: Table) -> Answer:
    """One of RANKERS.

    Args:
        table: float32 [rows, width].
        queries: float32 [batch, width], of the kind that will be asked; to choose a block with.

    Raises:
        ImportError: its package is not installed.
        BackendError: the kernels are absent.
    """
    return RANKERS[name](table, score, k, threads, queries)


def _compiled(storage: Any) -> Callable[..., Answer]:
    def made(table: Table, score: CandidateScore, k: int, threads: int, queries: Table) -> Answer:
        scan = Scan(table, score, threads, storage=storage)
        return lambda asked: scan.top_k(asked, k).ids.reshape(len(asked), k)

    return made


def _onnxruntime(table: Table, score: CandidateScore, k: int, threads: int, queries: Table) -> Answer:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    width = table.shape[1]
    nodes = [
        helper.make_node("MatMul", ["queries", "table"], ["scores"]),
        helper.make_node("TopK", ["scores", "k"], ["values", "ids"], largest=1, sorted=1),
    ]
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, (width, len(table)), table.T.tobytes(), raw=True),
        helper.make_tensor("k", TensorProto.INT64, (1,), [k]),
    ]
    graph = helper.make_graph(
        nodes,
        "rank",
        [helper.make_tensor_value_info("queries", TensorProto.FLOAT, ("batch", width))],
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ("batch", k))],
        constants,
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
    )
    return lambda asked: np.asarray(session.run(["ids"], {"queries": asked})[0])


def _torch(table: Table, score: CandidateScore, k: int, threads: int, queries: Table) -> Answer:
    import torch

    torch.set_num_threads(threads)
    rows = torch.from_numpy(table)
    halves = [half.contiguous() for half in rows.chunk(2, dim=1)] if isinstance(score, ComplexDistance) else []

    def scores(asked: torch.Tensor, block: slice) -> torch.Tensor:
        if not halves:
            return asked @ rows[block].T
        real, imaginary = (q[:, None] - half[block] for q, half in zip(asked.chunk(2, dim=1), halves, strict=True))
        return torch.hypot(real, imaginary).sum(dim=-1).neg_()  # faster than squares and a root

    def in_blocks(block: int) -> Answer:
        def answer(asked: Table) -> NDArray[np.int64]:
            with torch.inference_mode():
                given = torch.from_numpy(asked)
                blocks = [slice(start, start + block) for start in range(0, len(rows), block)]
                found = torch.cat([scores(given, part) for part in blocks], dim=1)
                return found.topk(min(k, found.shape[1]), dim=1).indices.numpy()

        return answer

    return _fastest([in_blocks(block) for block in _blocks(len(table), score)], queries)


def _numpy(table: Table, score: CandidateScore, k: int, threads: int, queries: Table) -> Answer:
    return lambda asked: top_k(asked, table, k, None, score).ids.reshape(len(asked), k)


def _faiss(table: Table, score: CandidateScore, k: int, threads: int, queries: Table) -> Answer:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(table.shape[1])
    index.add(table)
    return lambda asked: index.search(asked, k)[1]


_PRODUCTS_ONLY = (
    "compiled kernel, bfloat16 first pass",
    "compiled kernel, int8 first pass",
    "ONNX Runtime, prepacked",
    "faiss flat",
)
# The first one is what the others are compared with.
RANKERS: dict[str, Callable[..., Answer]] = {
    "compiled kernel": _compiled("float32"),
    "compiled kernel, bfloat16 first pass": _compiled("bfloat16"),
    "compiled kernel, int8 first pass": _compiled("int8"),
    "ONNX Runtime, prepacked": _onnxruntime,
    "torch": _torch,
    "numpy": _numpy,
    "faiss flat": _faiss,
}


def takes_part(name: str, score: CandidateScore) -> str | None:
    """Why a ranker has no such score; None if it has."""
    return "inner products only" if isinstance(score, ComplexDistance) and name in _PRODUCTS_ONLY else None


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
        began = time.perf_counter()
        way(queries)
        seconds.append(time.perf_counter() - began)
    return ways[int(np.argmin(seconds))]
