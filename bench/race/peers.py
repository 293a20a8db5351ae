"""The peers of a race of rankers that are packages of their own: faiss, usearch and numkong (the extra `peers`).

Those that keep the table in fewer bits are approximate; how many of their answers are right stands beside their times.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.ranking.scores import CandidateScore

from .rankers import OWN_RANKERS, Answer, Found, Ranker, Table

# Names of distributions.
PACKAGES = ("faiss-cpu", "usearch", "numkong")
# numkong gives all products; those of so many rows are kept at a time by each thread.
_ROWS_AT_ONCE = 8192


def _faiss(kind: str) -> Callable[..., Answer]:
    def made(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
        import faiss

        faiss.omp_set_num_threads(threads)
        width = table.shape[1]
        index: Any
        if kind == "flat":
            index = faiss.IndexFlatIP(width)
        else:
            quantizer = getattr(faiss.ScalarQuantizer, kind)
            index = faiss.IndexScalarQuantizer(width, quantizer, faiss.METRIC_INNER_PRODUCT)
            index.train(table[: 1 << 16])
        index.add(table)

        def answer(asked: Table) -> Found:
            scores, ids = index.search(asked, k)
            return Found(ids, scores)

        return answer

    return made


def _usearch(dtype: str) -> Callable[..., Answer]:
    def made(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
        from usearch.index import MetricKind, search

        stored = table.astype(dtype, copy=False)

        def answer(asked: Table) -> Found:
            given = asked.astype(dtype, copy=False)
            found = search(stored, given, k, MetricKind.IP, exact=True, threads=threads)
            # One query has one list of matches. Its distance is one less the product.
            ids, distances = (np.asarray(part).reshape(len(asked), k) for part in (found.keys, found.distances))
            return Found(ids.astype(np.int64), 1 - distances)

        return answer

    return made


def _numkong(dtype: Any) -> Callable[..., Answer]:
    """Its products use one thread a call, so blocks of the table are shared out among threads; numpy selects."""

    def made(table: Table, score: CandidateScore, k: int, threads: int, queries: Table, device: str) -> Answer:
        import numkong

        def typed(array: NDArray[np.float32]) -> Any:
            return array if dtype == "f32" else numkong.Tensor(array).astype(dtype)

        # No larger than what gives every thread a block.
        size = max(k, min(_ROWS_AT_ONCE, -(-len(table) // threads)))
        starts = range(0, len(table), size)
        packed = [numkong.dots_pack(typed(table[start : start + size]), dtype=dtype) for start in starts]
        pool = ThreadPoolExecutor(threads)

        def answer(asked: Table) -> Found:
            given = typed(asked)

            def best(start: int, block: Any) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
                scores = np.asarray(numkong.dots_packed(given, block))
                return _best(scores, start, k)

            parts = list(pool.map(best, starts, packed))
            ids, scores = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
            chosen, scores = _best(scores, 0, k)
            order = np.argsort(-scores, axis=1, kind="stable")
            ids = np.take_along_axis(ids, chosen, axis=1)
            return Found(np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1))

        return answer

    return made


def _best(scores: NDArray[Any], start: int, k: int) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Ids and scores of the k best columns in any order, or of all where there are fewer."""
    if scores.shape[1] <= k:
        ids = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    else:
        ids = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return ids + start, np.take_along_axis(scores, ids, axis=1)


RANKERS: dict[str, Ranker] = OWN_RANKERS | {
    "faiss flat": Ranker(_faiss("flat"), copy_bytes=4),
    # Decoded to float32 and multiplied as such.
    "faiss scalar quantiser, 8 bits": Ranker(_faiss("QT_8bit"), number_bytes=1, copy_bytes=1, approximate=True),
    "faiss scalar quantiser, float16": Ranker(_faiss("QT_fp16"), number_bytes=2, copy_bytes=2, approximate=True),
    "usearch exact": Ranker(_usearch("float32")),
    "usearch exact, float16": Ranker(_usearch("float16"), number_bytes=2, copy_bytes=2, approximate=True),
    "numkong": Ranker(_numkong("f32"), copy_bytes=4),
    "numkong, bfloat16": Ranker(_numkong("bf16"), "bfloat16", number_bytes=2, copy_bytes=2, approximate=True),
}
