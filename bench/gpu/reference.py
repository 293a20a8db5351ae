"""What the CPU answers to the same cells, and how far a GPU's answers are from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk import load
from mmkg_sdk.backends.tables import rank_table
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.kernels import default_threads

from ..sweep.counts import random_entities
from .calls import Arrays, Call, LabelCall, encoding, query_turns, querying
from .cells import Cell

# Of a batch, so many are compared.
COMPARED = 64
Found = dict[str, float | None]


class Reference:
    """The bundle, opened on the CPU: by torch where the precision needs it, else by ONNX Runtime."""

    def __init__(self, bundle: Path, precision: str, seed: int) -> None:
        backend = "torch" if precision == "bf16" else "onnxruntime"
        self._opened: Any = load(bundle, backend, "cpu", threads=default_threads())
        self._seed = seed
        self._answers: dict[Cell, Arrays] = {}

    def answer(self, cell: Cell) -> Arrays:
        """What a contender saves for this cell (`compared`)."""
        if cell not in self._answers:
            make = {"gpu-scan": self._scanned, "gpu-encode": self._encoded, "gpu-answer": self._answered}
            self._answers[cell] = make.get(cell.mode, self._asked)(cell)
        return self._answers[cell]

    def queries(self, cell: Cell, file: Path) -> Path:
        """The query vectors of a scan's turns, which every contender gets, in a file."""
        np.savez(file, *query_turns(self._opened, cell, self._seed))  # type: ignore[arg-type]
        return file

    def _asked(self, cell: Cell) -> Arrays:
        return compared(querying(self._opened, cell, self._seed, stand_in=False))

    def _answered(self, cell: Cell) -> Arrays:
        # The first queries of a batch are those of a smaller one.
        few = replace(cell, batch=min(cell.batch, COMPARED))
        return compared(LabelCall(self._opened, few, self._seed, turns=1))

    def _encoded(self, cell: Cell) -> Arrays:
        entities = random_entities(self._opened.bundle, cell.tokens, cell.batch, self._seed)
        few = EntityBatch(entities.rows(slice(COMPARED)), entities.token_count)
        return {"vectors": self._opened.encode_batch(few)["vectors"]}

    def _scanned(self, cell: Cell) -> Arrays:
        score = contract.link_config(self._opened.bundle.config).candidate_score
        ranking = rank_table(self._opened.table, score, threads=default_threads())
        queries = query_turns(self._opened, cell, self._seed)[0][:COMPARED]
        found = ranking.top_k(queries, cell.best)
        return {"ids": found.ids.reshape(len(queries), -1), "scores": found.scores.reshape(len(queries), -1)}

    def close(self) -> None:
        """Free it."""
        self._opened.close()


def open_call(opened: Any, cell: Cell, seed: int, *, stand_in: bool) -> Call:
    """The SDK's way of doing a cell of any stage but the scan.

    Args:
        stand_in: kernels do the work of graphs.
    """
    if cell.mode == "gpu-answer":
        return LabelCall(opened, cell, seed)
    if cell.mode == "gpu-encode":
        return encoding(opened, cell, seed, stand_in=stand_in)
    return querying(opened, cell, seed, stand_in=stand_in)


def compared(call: Call) -> Arrays:
    """The answers to the first set of inputs, of so many as are compared."""
    call.load(0)
    call.run()
    return {name: array[:COMPARED] for name, array in call.fetch().items()}


def difference(found: Arrays, expected: Arrays) -> tuple[float | None, Found]:
    """The largest difference of numbers as a share of the CPU's root mean square, and the share of right answers.

    Rows of ids are compared as sets, for equal products may be ordered as rounding has it.
    """
    numbers = next((name for name in ("vectors", "scores") if name in expected), None)
    largest = None
    if numbers is not None:
        want = expected[numbers].astype(np.float64)
        scale = float(np.sqrt(np.mean(want**2))) or 1.0
        largest = float(np.abs(found[numbers] - want).max()) / scale
    if "ids" in expected:
        shared = [len(set(a) & set(b)) for a, b in zip(found["ids"].tolist(), expected["ids"].tolist(), strict=True)]
        return largest, {"right_ids": float(np.sum(shared)) / expected["ids"].size}
    if "labels" in expected:
        return None, {"right_ids": float(np.mean(found["labels"] == expected["labels"]))}
    return largest, {}
