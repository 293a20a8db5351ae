"""The graph "complete" with its table in parts gives the ids, scores and ties of one piece."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn

from mmkg_sdk import Model
from mmkg_sdk.bundle.graph_specs import Axis, TensorSpec
from mmkg_sdk.export import export_bundle
from mmkg_sdk.export.onnx_graph import write_graph
from mmkg_sdk.families import complete
from mmkg_sdk.families.adamf_mat import graphs as adamf_mat
from mmkg_sdk.families.complete import Score, complete_module, complete_spec, inner_product, table_parts
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct
from mmkg_sdk.run import Run

WIDTH = 6
BATCH = Axis("batch", 1, 256, 4096)
QUERY = tuple(TensorSpec(name, "int64", (BATCH,)) for name in ("entity", "relation", "direction"))


class Encoder(nn.Module):
    """The row of the entity, moved by the relation, turned round by the direction: whole numbers stay whole."""

    def __init__(self) -> None:
        super().__init__()
        self.moves = nn.Buffer(torch.arange(4 * WIDTH, dtype=torch.float32).reshape(4, WIDTH) % 3 - 1)

    def forward(self, table: Tensor, entity: Tensor, relation: Tensor, direction: Tensor) -> Tensor:
        return (F.embedding(entity, table) + F.embedding(relation, self.moves)) * (1 - 2 * direction)[:, None].float()


def constants(path: Path) -> list[int]:
    """Rows of each constant that the table is."""
    initializers = onnx.load(path, load_external_data=False).graph.initializer
    return [tensor.dims[0] for tensor in initializers if tensor.name.startswith("table")]


def written(folder: Path, table: NDArray[np.float32], score: Score) -> Path:
    """complete.onnx in the folder."""
    rows, encoder = len(table), Encoder()
    save_file({"vectors": table}, folder / "table.safetensors")
    save_file({"query_encoder.moves": encoder.moves.numpy()}, folder / "weights.safetensors")
    one = TensorSpec("table", "float32", (Axis("num_entities", 1, rows, rows), WIDTH))
    write_graph(complete_module(encoder, score, rows, WIDTH), complete_spec(one, QUERY, rows, WIDTH), folder)
    return folder / "complete.onnx"


def set_limits(monkeypatch: pytest.MonkeyPatch, most_bytes: int) -> None:
    monkeypatch.setattr(complete, "_MOST_BYTES", most_bytes)
    monkeypatch.setattr(complete, "_PART_BYTES", most_bytes)


def asked(path: Path, *query: NDArray[np.int64]) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["ids", "scores"], dict(zip(("entity", "relation", "direction"), query, strict=True)))


@pytest.mark.parametrize(
    ("score", "plain", "rows", "limit"),
    [(inner_product, InnerProduct(), 230, 120), (partial(adamf_mat._score, 3.0), ComplexDistance(3.0), 23, 5)],
    ids=["product, parts of many rows", "distance, parts of few"],
)
def test_a_table_in_parts_is_ranked_as_one(
    score: Score, plain: CandidateScore, rows: int, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(rows)
    table = random.integers(-1, 2, (rows, WIDTH)).astype(np.float32)  # many scores are equal
    set_limits(monkeypatch, limit * 4 * WIDTH)
    path = written(tmp_path, table, score)
    parts = constants(path)
    assert (len(parts) > 1, sum(parts), max(parts) <= limit) == (True, rows, True)
    # The first and the last row of each part, and some between.
    ends = np.cumsum(parts)
    entity = np.unique([0, *ends - 1, *ends[:-1], *random.integers(0, rows, 7)])
    query = entity, random.integers(0, 4, len(entity)), random.integers(0, 2, len(entity))
    ids, scores = asked(path, *query)
    expected = plain(Encoder()(*map(torch.from_numpy, (table, *query))).numpy(), table)
    best = np.argsort(-expected, axis=1, kind="stable")[:, :100]
    np.testing.assert_allclose(scores, np.take_along_axis(expected, best, axis=1), rtol=1e-6, atol=1e-6)
    if isinstance(plain, InnerProduct):  # its sums are exact, roots are not
        np.testing.assert_array_equal(ids, best)
    with pytest.raises(Exception, match=r"out of (data )?bounds"):
        asked(path, np.array([rows]), np.array([0]), np.array([0]))

    monkeypatch.undo()
    one = written(tmp_path, table, score)
    assert constants(one) == [rows]
    for found, wanted in zip((ids, scores), asked(one, *query), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_bundle_with_its_table_in_parts_answers_like_one_without(
    golden_run: Run, golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Model.load(golden_bundle, device="cpu") as model:
        rows, width = model.bundle.table.shape
        signatures, entity = model.bundle.graphs, np.arange(rows)
        query = {"entity": entity, "relation": entity % len(model.relations), "direction": entity % 2}
        expected = model.backend.run("complete", query)
    set_limits(monkeypatch, (rows // 3) * 4 * width)
    export_bundle(golden_run, tmp_path / "bundle")
    assert constants(golden_bundle / "complete.onnx") == [40]
    assert constants(tmp_path / "bundle" / "complete.onnx") == [10, 10, 10, 10]
    with Model.load(tmp_path / "bundle", device="cpu") as model:
        found = model.backend.run("complete", query)
        np.testing.assert_array_equal(found["ids"], expected["ids"])
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-6, atol=1e-6)
        assert model.bundle.graphs == signatures


def test_a_table_is_in_parts_only_where_one_constant_is_too_large() -> None:
    width, limit = 256, (1 << 31) - 1
    fits = limit // (4 * width)
    assert table_parts(1, width) == [1]
    assert table_parts(fits, width) == [fits]
    parts = table_parts(fits + 1, width)
    assert (sum(parts), max(parts) * 4 * width <= 1 << 30, max(parts) - min(parts)) == (fits + 1, True, 0)
    assert len(table_parts(10_000_000, 64)) == 3
