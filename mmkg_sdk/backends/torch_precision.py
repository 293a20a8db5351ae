"""Whether torch's float32 products on a GPU are products of float32, or of TF32, which keeps 11 bits of each number.

Both settings are the whole process's. Those used here are torch's older ones (`set_float32_matmul_precision`,
`cudnn.allow_tf32`): after its newer ones (`fp32_precision`), the older cannot be read, and `torch.compile` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def use_full_float32() -> None:
    """Full float32 from now on, as the exports' parity was measured; torch itself begins with TF32 for convolutions."""
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Full float32 within, and what was set before afterwards; on a CPU nothing is changed."""
    if device.type != "cuda":
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    use_full_float32()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
