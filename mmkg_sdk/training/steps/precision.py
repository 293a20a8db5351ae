"""How a training multiplies: float32, TF32, or half precision under autocast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch

from ...errors import BackendError
from ..settings import TrainingSettings

SMALLEST_SCALE = 2.0**-24  # fp16: forty skipped steps from the scaler's start; no gradient is finite any more
_CUDA_ONLY = ("fp16", "tf32")
_HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


def settled(settings: TrainingSettings, device: str | torch.device) -> TrainingSettings:
    """The settings with a precision that stands: "auto" is bf16 where the device multiplies it, and else fp32.

    A processor without such instructions emulates bf16, 10 to 16 times slower than fp32.
    """
    if settings.precision != "auto":
        return settings
    return replace(settings, precision="bf16" if multiplies_bf16(torch.device(device)) else "fp32")


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public name for it. oneDNN's own answer is true where it emulates.
    told = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(ask is not None and ask() for ask in told)


def check_precision(precision: str, device: str | torch.device) -> None:
    """Whether the device has the precision.

    Raises:
        BackendError: it has not.
    """
    if precision in _CUDA_ONLY and torch.device(device).type != "cuda":
        raise BackendError(f"precision {precision!r} needs a CUDA device; use 'bf16' or 'fp32' on the CPU.")


@contextmanager
def float32_products(precision: str, device: torch.device) -> Iterator[None]:
    """Products of float32 on a GPU as the precision says; put back at the end. On a CPU nothing is changed.

    torch's own default lets convolutions have TF32, ten bits of mantissa. Here products and convolutions have it with
    "tf32", and not otherwise. The settings are the whole process's.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    use_tf32(precision == "tf32")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def use_tf32(wanted: bool) -> None:
    """Whether products and convolutions of float32 on a GPU are taken with TF32 from now on."""
    torch.set_float32_matmul_precision("high" if wanted else "highest")
    torch.backends.cudnn.allow_tf32 = wanted


def autocast(settings: TrainingSettings, device: torch.device) -> AbstractContextManager[object]:
    """What the forward passes run under; it does nothing with "fp32" and "tf32"."""
    if settings.precision not in _HALF:
        return nullcontext()
    return torch.autocast(device.type, dtype=_HALF[settings.precision])
