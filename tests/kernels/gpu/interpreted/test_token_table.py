"""The token-table encoder's kernels in Triton's interpreter against the formula in float64 and the library for the CPU.

The interpreter multiplies float32 in place of the matrix units: what is tested is which numbers are multiplied and
added, and in what order, not how the hardware rounds. Nothing here has run on a GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mmkg_sdk.kernels import TokenTableEncoder, library
from mmkg_sdk.kernels.cuda.triton.layer import KERNELS as LAYER_KERNELS
from mmkg_sdk.kernels.cuda.triton.layer import feed_forward
from mmkg_sdk.kernels.cuda.triton.token_table import GROUP, KERNELS, token_table_gather, token_table_project
from tests.kernels.gpu.interpreted.packing import Packing
from tests.kernels.references.encoder import Arrays, encoded, random_batch, random_weights

CONSTANTS = {spec.name: spec.constants for spec in (*KERNELS, *LAYER_KERNELS)}
VISUAL_ROWS, TEXT_ROWS = 7, 11
EPSILON = 1e-5
# Of the root mean square of a norm's output, which is about 1: a few hundred roundings of 6e-8. Measured: 2e-6.
TOLERANCE = 1e-5


class Encoder:
    """Weights packed and kernels launched as cuda/launch/token_table.cpp does it."""

    def __init__(self, weights: Arrays, heads: int, precision: str = "fp32") -> None:
        self.width = weights["pooled"].size
        self.heads, self.precision = heads, precision
        self.packing = Packing(self.width, heads)
        self.weights = weights

    def _packed(self, name: str, *axes: str) -> torch.Tensor:
        return self.packing.pack(self.weights[name], *axes)

    def encode(self, batch: Arrays, rows: int) -> NDArray[Any]:
        """`rows` of a tile."""
        padded, size = self.packing.padded, len(batch["structure"])
        own, attended, x = (torch.full((size, padded), torch.nan) for _ in range(3))
        share = torch.full((size, padded // GROUP), torch.nan)
        values = self._packed("multiplied_values", "rows", "groups")
        inputs = {name: torch.from_numpy(array) for name, array in batch.items()}
        constants = CONSTANTS[f"token_table_gather_{self.precision}_{padded}"]
        token_table_gather[(-(-size // constants["ENTITIES"]),)](
            inputs["structure"],
            inputs["visual_tokens"],
            inputs["visual_mask"].to(torch.uint8),
            inputs["text_tokens"],
            inputs["text_mask"].to(torch.uint8),
            self._packed("structure.norm.weight", "columns"),
            self._packed("structure.norm.bias", "columns"),
            self._packed("structure.type_vector", "columns"),
            self._packed("logit_weight", "columns", "heads").T.contiguous(),
            self._packed("pooled_logits", "heads"),
            self._packed("pooled_value", "groups"),
            self._packed("logits", "rows", "heads"),
            values.bfloat16() if self.precision == "bf16" else values,
            own,
            attended,
            share,
            size,
            self.width,
            self.heads,
            self.packing.groups_per_head,
            batch["visual_tokens"].shape[1],
            batch["text_tokens"].shape[1],
            VISUAL_ROWS,
            TEXT_ROWS,
            EPSILON,
            **constants,
        )
        token_table_project[(-(-size // rows),)](
            own,
            attended,
            share,
            self._packed("value.multiplied_weight", "columns", "groups"),
            self._packed("value.bias", "groups"),
            self._packed("rest.output.multiplied_weight", "groups", "columns"),
            self._packed("rest.output.bias", "columns"),
            self._packed("pooled", "columns"),
            self._packed("rest.norm1.weight", "columns"),
            self._packed("rest.norm1.bias", "columns"),
            x,
            size,
            self.width,
            EPSILON,
            **CONSTANTS[f"token_table_project_{padded}_{rows}"],
        )
        vectors = torch.full((size, self.width), torch.nan)
        constants = CONSTANTS[f"feed_forward_{padded}_{rows}"]
        hidden_bias = self._packed("rest.hidden.bias", "hidden")
        feed_forward[(-(-size // rows),)](
            x,
            self._packed("rest.hidden.multiplied_weight", "columns", "hidden"),
            hidden_bias,
            self._packed("rest.feedforward.multiplied_weight", "hidden", "columns"),
            self._packed("rest.feedforward.bias", "columns"),
            self._packed("rest.norm2.weight", "columns"),
            self._packed("rest.norm2.bias", "columns"),
            vectors,
            size,
            self.width,
            self.width,
            len(hidden_bias) // constants["CHUNK"],
            EPSILON,
            **constants,
        )
        return vectors.numpy()


def batch_of(size: int, width: int, visual: int = 3, text: int = 2) -> Arrays:
    return random_batch(np.random.default_rng(size), size, width, (VISUAL_ROWS, visual), (TEXT_ROWS, text))


def encoder_of(width: int, heads: int, hidden: int, precision: str = "fp32") -> Encoder:
    return Encoder(
        random_weights(np.random.default_rng(width), width, heads, hidden, VISUAL_ROWS, TEXT_ROWS), heads, precision
    )


@pytest.mark.parametrize(
    ("width", "heads", "hidden", "rows"),
    [
        (1, 1, 1, 16),
        (6, 3, 5, 16),  # three groups, one of four without a head
        (48, 2, 33, 64),
        (65, 1, 31, 16),  # a head of two groups
        (96, 4, 32, 16),
        (128, 2, 100, 64),
        (130, 2, 65, 64),
        (96, 6, 20, 32),  # six groups of eight
        (512, 1, 16, 16),
    ],
)
def test_vectors_are_those_of_the_formula_at_every_width(width: int, heads: int, hidden: int, rows: int) -> None:
    encoder, batch = encoder_of(width, heads, hidden), batch_of(17, width)
    expected = encoded(encoder.weights, VISUAL_ROWS, batch)
    np.testing.assert_allclose(encoder.encode(batch, rows), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("rows", [16, 64])
def test_vectors_are_those_of_the_formula_at_every_batch_size(rows: int) -> None:
    encoder = encoder_of(20, 2, 24)
    tokens = [(1, 1), (0, 1), (1, 0), (0, 0), (13, 2), (14, 1)]
    for i, size in enumerate((1, 7, rows - 1, rows, rows + 1)):
        batch = batch_of(size, 20, *tokens[(i + rows) % len(tokens)])
        expected = encoded(encoder.weights, VISUAL_ROWS, batch)
        np.testing.assert_allclose(encoder.encode(batch, rows), expected, rtol=0, atol=TOLERANCE)


def test_the_library_for_the_cpu_gives_nearly_the_same() -> None:
    if isinstance(library(), str):
        pytest.skip(str(library()))
    encoder, batch = encoder_of(48, 2, 40), batch_of(33, 48, 9, 4)
    batch["visual_mask"][:3] = True
    batch["text_mask"][2:5] = True
    by_cpu = TokenTableEncoder(encoder.weights, VISUAL_ROWS, 1).encode(**batch)
    # Measured: 1.2e-6.
    np.testing.assert_allclose(encoder.encode(batch, 16), by_cpu, rtol=0, atol=3e-6)


def test_values_in_bfloat16_change_the_vectors_by_their_rounding_alone() -> None:
    encoder, batch = encoder_of(48, 2, 40, "bf16"), batch_of(17, 48)
    rounded = dict(encoder.weights)
    values = torch.from_numpy(rounded["multiplied_values"])
    rounded["multiplied_values"] = values.bfloat16().float().numpy()
    found = encoder.encode(batch, 16)
    np.testing.assert_allclose(found, encoded(rounded, VISUAL_ROWS, batch), rtol=0, atol=TOLERANCE)
    assert abs(found - encoded(encoder.weights, VISUAL_ROWS, batch)).max() > 10 * TOLERANCE


def test_logits_far_apart_leave_one_token() -> None:
    encoder, batch = encoder_of(16, 2, 16), batch_of(9, 16, 5, 5)
    encoder.weights["logits"] *= np.float32(1e4)
    expected = encoded(encoder.weights, VISUAL_ROWS, batch)
    np.testing.assert_allclose(encoder.encode(batch, 16), expected, rtol=0, atol=TOLERANCE)


def test_an_entity_depends_on_nothing_but_itself() -> None:
    encoder, batch = encoder_of(20, 2, 24), batch_of(19, 20)
    expected = encoder.encode(batch, 16)
    np.testing.assert_array_equal(encoder.encode(batch, 16), expected)
    # A masked token leaves no trace, whatever it is, even no row at all: so no padding of the sequence does.
    longer = dict(batch)
    for name in ("visual", "text"):
        tokens, mask = batch[f"{name}_tokens"], batch[f"{name}_mask"]
        longer[f"{name}_tokens"] = np.concatenate(
            [np.full_like(tokens, -(10**9)), tokens, np.full_like(tokens, 10**9)], 1
        )
        longer[f"{name}_mask"] = np.concatenate([np.ones_like(mask), mask, np.ones_like(mask)], 1)
    np.testing.assert_array_equal(encoder.encode(longer, 16), expected)
    # One that is no row, or a structure that is no number, spoils its own entity.
    batch["visual_tokens"][3, 0], batch["visual_mask"][3, 0] = VISUAL_ROWS, False
    batch["text_tokens"][8, 1], batch["text_mask"][8, 1] = -1, False
    batch["structure"][17, 5] = np.inf
    spoilt = np.isin(np.arange(19), (3, 8, 17))
    with np.errstate(invalid="ignore"):
        found = encoder.encode(batch, 16)
    assert np.isnan(found[spoilt]).all()
    np.testing.assert_array_equal(found[~spoilt], expected[~spoilt])
