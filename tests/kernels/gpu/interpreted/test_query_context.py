"""The query transformer's kernels in Triton's interpreter against the formula in float64 and the library for the CPU.

The interpreter multiplies float32 in place of the matrix units: what is tested is which numbers are multiplied and
added, and in what order, not how the hardware rounds. Nothing here has run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmkg_sdk.kernels import QueryContext, library
from mmkg_sdk.kernels.cuda.triton.layer import KERNELS as LAYER_KERNELS
from mmkg_sdk.kernels.cuda.triton.layer import add_norm, linear
from mmkg_sdk.kernels.cuda.triton.query_context import KERNELS, query_attention, query_sequence
from tests.kernels.gpu.interpreted.packing import Packing
from tests.kernels.references.encoder import Arrays
from tests.kernels.references.query import encoded, random_questions, random_weights

CONSTANTS = {spec.name: spec.constants for spec in (*KERNELS, *LAYER_KERNELS)}
ENTITIES = 19
EPSILON = 1e-5
# Of the root mean square of a norm's output, which is about 1: a few hundred roundings of 6e-8, a layer.
TOLERANCE = 1e-5


class Transformer:
    """Weights packed and kernels launched as cuda/launch/query_context.cpp does it."""

    def __init__(self, width: int, heads: int, hidden: int, layers: int) -> None:
        self.width, self.heads, self.layers = width, heads, layers
        self.weights = random_weights(np.random.default_rng(width), width, hidden, layers)
        self.table = np.random.default_rng(1).standard_normal((ENTITIES, width), dtype=np.float32)
        self.packing = Packing(width, heads)

    def encode(self, questions: Arrays, rows: int) -> NDArray[Any]:
        """[2, batch, width]: relation, context; `rows` of a tile."""
        padded, batch = self.packing.padded, len(questions["entity"])
        pack = self.packing.pack
        x = torch.full((3, batch, padded), torch.nan)
        query_sequence[(batch,)](
            torch.from_numpy(self.table),
            *(pack(self.weights[name], "rows", "columns") for name in ("relations", "known_slot", "missing")),
            *(torch.from_numpy(questions[name]) for name in ("entity", "relation", "direction")),
            x,
            len(self.table),
            len(self.weights["relations"]),
            batch,
            self.width,
            PADDED=padded,
        )
        for layer in range(self.layers):
            last = layer == self.layers - 1
            x = self._layer(f"layers.{layer}.", x, last, rows)
        return x.numpy()

    def _layer(self, prefix: str, x: torch.Tensor, last: bool, rows: int) -> torch.Tensor:
        padded, batch = self.packing.padded, x.shape[1]

        def weight(name: str, *axes: str) -> torch.Tensor:
            return self.packing.pack(self.weights[prefix + name], *axes)

        names = ("query", "key", "value")
        together = torch.cat([weight(f"{name}.multiplied_weight", "columns", "groups") for name in names], 1)
        bias = torch.cat([weight(f"{name}.bias", "groups") for name in names])
        projected = self._linear(x, together, bias, rows)
        attended = torch.full_like(x, torch.nan)
        constants = CONSTANTS[f"query_attention_{padded}"]
        query_attention[(-(-batch // constants["QUERIES"]),)](
            projected, attended, batch, self.packing.groups_per_head, (self.width // self.heads) ** -0.5, **constants
        )
        read = slice(1, None) if last else slice(None)
        output = weight("rest.output.multiplied_weight", "groups", "columns"), weight("rest.output.bias", "columns")
        y = self._add_norm(
            x[read], self._linear(attended[read], *output, rows), weight, "rest.norm1", self.packing.padded
        )
        hidden = weight("rest.hidden.multiplied_weight", "columns", "hidden"), weight("rest.hidden.bias", "hidden")
        back = (
            weight("rest.feedforward.multiplied_weight", "hidden", "columns"),
            weight("rest.feedforward.bias", "columns"),
        )
        deeper = self._linear(self._linear(y, *hidden, rows, relu=True), *back, rows)
        return self._add_norm(y, deeper, weight, "rest.norm2", self.width if last else padded)

    @staticmethod
    def _linear(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, rows: int, relu: bool = False
    ) -> torch.Tensor:
        out = torch.full((*x.shape[:2], len(bias)), torch.nan)
        constants = CONSTANTS[f"linear{'_relu' if relu else ''}_{rows}"]
        count = x.shape[0] * x.shape[1]
        linear[-(-count // rows), len(bias) // constants["COLUMNS"]](
            x, weight, bias, out, count, x.shape[2] // constants["DEPTH"], **constants
        )
        return out

    def _add_norm(self, x: torch.Tensor, y: torch.Tensor, weight: Any, name: str, columns: int) -> torch.Tensor:
        out = torch.full((*x.shape[:2], columns), torch.nan)
        constants = CONSTANTS[f"add_norm_{self.packing.padded}"]
        count = x.shape[0] * x.shape[1]
        add_norm[(-(-count // constants["ROWS"]),)](
            x, y, weight(f"{name}.weight", "columns"), weight(f"{name}.bias", "columns"), out, count, self.width,
            columns, EPSILON, **constants,
        )  # fmt: skip
        return out

    def expected(self, questions: Arrays) -> NDArray[np.float64]:
        return encoded(self.weights, self.heads, self.table, questions)[::-1]


def questions_of(size: int) -> Arrays:
    return random_questions(np.random.default_rng(size), size, ENTITIES)


@pytest.mark.parametrize(
    ("width", "heads", "hidden", "layers", "rows"),
    [
        (1, 1, 1, 1, 16),
        (6, 3, 5, 1, 64),  # three groups, one of four without a head
        (65, 1, 31, 1, 64),  # a head of two groups
        (128, 2, 100, 2, 64),
        (130, 2, 65, 1, 64),
        (96, 6, 20, 1, 64),  # six groups of eight
    ],
)
def test_it_gives_the_numbers_of_the_formula_at_every_width(
    width: int, heads: int, hidden: int, layers: int, rows: int
) -> None:
    transformer, questions = Transformer(width, heads, hidden, layers), questions_of(14)
    found = transformer.encode(questions, rows)
    np.testing.assert_allclose(found, transformer.expected(questions), rtol=0, atol=TOLERANCE * layers)


def test_it_gives_the_numbers_of_the_formula_at_every_batch_size() -> None:
    transformer = Transformer(20, 2, 24, 1)
    for size, rows in ((1, 16), (5, 16), (6, 16), (1, 64), (21, 64), (33, 64)):  # 2 or 3 tokens of each: around tiles
        questions = questions_of(size)
        expected = transformer.expected(questions)
        np.testing.assert_allclose(transformer.encode(questions, rows), expected, rtol=0, atol=TOLERANCE)


def test_the_library_for_the_cpu_gives_nearly_the_same() -> None:
    if isinstance(library(), str):
        pytest.skip(str(library()))
    transformer, questions = Transformer(48, 2, 40, 2), questions_of(33)
    context, relation = QueryContext(transformer.weights, 2, 1).encode(transformer.table, **questions)
    np.testing.assert_allclose(transformer.encode(questions, 64), [relation, context], rtol=0, atol=5e-6)


def test_a_question_depends_on_no_other() -> None:
    transformer, questions = Transformer(20, 2, 24, 1), questions_of(19)
    expected = transformer.encode(questions, 64)
    np.testing.assert_array_equal(transformer.encode(questions, 64), expected)
    # Ids that are none spoil their own question, and nothing is read there.
    questions["entity"][2], questions["entity"][3] = ENTITIES, -1
    questions["relation"][8], questions["relation"][9] = 5, -(10**12)
    questions["direction"][11], questions["direction"][12] = 2, -1
    spoilt = np.isin(np.arange(19), (2, 3, 8, 9, 11, 12))
    with np.errstate(invalid="ignore"):
        found = transformer.encode(questions, 64)
    assert np.isnan(found[:, spoilt]).all()
    np.testing.assert_array_equal(found[:, ~spoilt], expected[:, ~spoilt])
