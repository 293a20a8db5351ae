"""GpuTokenTableEncoder, its launcher and kernel, against the formula in float64 and the library for the CPU.

The kernel runs in Triton's interpreter, behind a stand-in for NVIDIA's driver; it multiplies float32 in place of the
matrix units. So what is tested is which numbers are multiplied and added, not how the hardware rounds. Nothing here has
run on a GPU.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import TokenTableEncoder
from mmkg_sdk.kernels.gpu.token_table import GpuTokenTableEncoder
from tests.kernels.references.encoder import Arrays, encoded, random_batch, random_weights

from ..fake_driver.driver import OUT_OF_MEMORY
from .conftest import FakeGpu

# Of the GPU, read when it is opened: so two tiles of 64 are taken in place of tiles of 16.
os.environ["FAKE_CUDA_MULTIPROCESSORS"] = "2"

ROWS = VISUAL_ROWS, TEXT_ROWS = 7, 11
# Of the root mean square of a norm's output, which is about 1: a few dozen roundings of 6e-8. Measured: 9.2e-7.
TOLERANCE = 3e-6


def batch_of(size: int, width: int, visual: int = 3, text: int = 2) -> Arrays:
    return random_batch(np.random.default_rng(size), size, width, (VISUAL_ROWS, visual), (TEXT_ROWS, text))


def weights_of(width: int, heads: int, hidden: int) -> Arrays:
    return random_weights(np.random.default_rng(width), width, heads, hidden, *ROWS)


@pytest.mark.parametrize(
    ("width", "heads", "hidden"),
    [
        (1, 1, 1),
        (6, 3, 5),  # three groups, one of four without a head
        (65, 1, 31),  # a head of two groups
        (128, 2, 100),
        (130, 2, 65),
        (512, 1, 16),
    ],
)
def test_vectors_are_those_of_the_formula_at_every_width(width: int, heads: int, hidden: int, fake: FakeGpu) -> None:
    weights, batch = weights_of(width, heads, hidden), batch_of(17, width)
    found = GpuTokenTableEncoder(weights, VISUAL_ROWS).encode(**batch)
    np.testing.assert_allclose(found.numpy(), encoded(weights, VISUAL_ROWS, batch), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("size", "visual", "text"), [(1, 1, 1), (7, 0, 1), (15, 1, 0), (16, 0, 0), (64, 2, 2), (65, 13, 2), (449, 1, 1)]
)
def test_vectors_are_those_of_the_formula_at_every_batch_size(size: int, visual: int, text: int, fake: FakeGpu) -> None:
    weights, batch = weights_of(20, 2, 24), batch_of(size, 20, visual, text)
    found = GpuTokenTableEncoder(weights, VISUAL_ROWS).encode(**batch)
    np.testing.assert_allclose(found.numpy(), encoded(weights, VISUAL_ROWS, batch), rtol=0, atol=TOLERANCE)
    tiles = "many" if size > 64 else "few"
    ran = [f"token_table_fp32_128_{tiles}"]
    if size > 448:  # the second of two parts has one entity
        ran.append("token_table_fp32_128_few")
    assert fake.launches.launched == ran


@pytest.mark.parametrize(("width", "heads", "padded"), [(130, 2, 256), (96, 6, 512)])  # six groups of eight
def test_wide_tiles_of_wide_vectors(width: int, heads: int, padded: int, fake: FakeGpu) -> None:
    weights, batch = weights_of(width, heads, 17), batch_of(33, width)
    found = GpuTokenTableEncoder(weights, VISUAL_ROWS).encode(**batch)
    np.testing.assert_allclose(found.numpy(), encoded(weights, VISUAL_ROWS, batch), rtol=0, atol=TOLERANCE)
    assert fake.launches.launched == [f"token_table_fp32_{padded}_many"]


def test_the_library_for_the_cpu_gives_nearly_the_same(fake: FakeGpu) -> None:
    weights, batch = weights_of(48, 2, 40), batch_of(33, 48, 9, 4)
    batch["visual_mask"][:3] = True
    batch["text_mask"][2:5] = True
    by_cpu = TokenTableEncoder(weights, VISUAL_ROWS, 1).encode(**batch)
    found = GpuTokenTableEncoder(weights, VISUAL_ROWS).encode(**batch)
    # Measured: 9.5e-7.
    np.testing.assert_allclose(found.numpy(), by_cpu, rtol=0, atol=3e-6)


def test_values_in_bfloat16_change_the_vectors_by_their_rounding_alone(fake: FakeGpu) -> None:
    weights, batch = weights_of(48, 2, 40), batch_of(17, 48)
    found = GpuTokenTableEncoder(weights, VISUAL_ROWS, storage="bfloat16").encode(**batch).numpy()
    # To the same bfloat16 numbers as on the CPU.
    by_cpu = TokenTableEncoder(weights, VISUAL_ROWS, 1, storage="bfloat16").encode(**batch)
    np.testing.assert_allclose(found, by_cpu, rtol=0, atol=3e-6)
    assert abs(found - encoded(weights, VISUAL_ROWS, batch)).max() > 10 * TOLERANCE


def test_logits_far_apart_leave_one_token(fake: FakeGpu) -> None:
    weights, batch = weights_of(16, 2, 16), batch_of(9, 16, 5, 5)
    weights["logits"] *= np.float32(1e4)
    found = GpuTokenTableEncoder(weights, VISUAL_ROWS).encode(**batch)
    np.testing.assert_allclose(found.numpy(), encoded(weights, VISUAL_ROWS, batch), rtol=0, atol=TOLERANCE)


def test_an_entity_depends_on_nothing_but_itself(fake: FakeGpu) -> None:
    encoder, batch = GpuTokenTableEncoder(weights_of(20, 2, 24), VISUAL_ROWS), batch_of(19, 20)
    expected = encoder.encode(**batch).numpy()
    on_gpu = {name: fake.gpu.array(array) for name, array in batch.items()}
    np.testing.assert_array_equal(encoder.encode(**on_gpu).numpy(), expected)
    # A masked token leaves no trace, whatever it is, even no row at all: so no padding of the sequence does.
    longer = dict(batch)
    for name in ("visual", "text"):
        tokens, mask = batch[f"{name}_tokens"], batch[f"{name}_mask"]
        none, hidden = np.full_like(tokens, 10**9), np.ones_like(mask)
        longer[f"{name}_tokens"] = np.concatenate([-none, tokens, none], axis=1)
        longer[f"{name}_mask"] = np.concatenate([hidden, mask, hidden], axis=1)
    found = encoder.encode(**{name: fake.gpu.array(array) for name, array in longer.items()})
    np.testing.assert_array_equal(found.numpy(), expected)
    # One on the GPU that is no row, or a structure that is no number, spoils its own entity.
    batch["visual_tokens"][3, 0], batch["visual_mask"][3, 0] = VISUAL_ROWS, False
    batch["text_tokens"][8, 1], batch["text_mask"][8, 1] = -1, False
    batch["structure"][17, 5] = np.inf
    spoilt = np.isin(np.arange(19), (3, 8, 17))
    with np.errstate(invalid="ignore"):
        found = encoder.encode(**{name: fake.gpu.array(array) for name, array in batch.items()})
    assert np.isnan(found.numpy()[spoilt]).all()
    np.testing.assert_array_equal(found.numpy()[~spoilt], expected[~spoilt])


def test_what_does_not_fit_is_refused(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    weights, batch = weights_of(20, 2, 24), batch_of(4, 20)
    encoder = GpuTokenTableEncoder(weights, VISUAL_ROWS)
    with pytest.raises(BackendError, match=r"structure: float64 \[4, 20\]; expected float32 \[4, 20\]"):
        encoder.encode(**batch | {"structure": batch["structure"].astype(np.float64)})
    with pytest.raises(BackendError, match=r"text_mask: bool \[4, 1\]; expected bool \[4, 2\]"):
        encoder.encode(**batch | {"text_mask": batch["text_mask"][:, :1]})
    for wrong in (-1, TEXT_ROWS):
        tokens = batch["text_tokens"].copy()
        tokens[2, 1] = wrong
        with pytest.raises(BackendError, match="entity 2: a token is no row of the text codebook, which has 11"):
            encoder.encode(**batch | {"text_tokens": tokens})
    fake.driver.fail("cuLaunchKernel", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match="launch CUDA kernel token_table_fp32_128_few"):
        encoder.encode(**batch)
    assert encoder.encode(**{name: array[:0] for name, array in batch.items()}).shape == (0, 20)
    del encoder
    with pytest.raises(
        BackendError, match="width 513 with 1 heads takes 576 columns on a GPU, whose kernels go to 512"
    ):
        GpuTokenTableEncoder(weights_of(513, 1, 3), VISUAL_ROWS)
    weights["rest.hidden.bias"][7] = np.nan
    with pytest.raises(BackendError, match="weights: hidden_bias holds NaN or infinity at 7"):
        GpuTokenTableEncoder(weights, VISUAL_ROWS)
    with pytest.raises(BackendError, match="storage is 'int8'"):
        GpuTokenTableEncoder(weights, VISUAL_ROWS, storage="int8")  # type: ignore[arg-type]
    assert fake.driver.memory_used == before
