"""Files of torch in data: loaded without running code, with tensors that are what they claim."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, missing_package

if TYPE_CHECKING:
    from torch import Tensor


def load_plain(path: Path, kind: str, advice: str) -> Any:
    """The content of a file; no code in it runs.

    Args:
        kind, advice: what it should hold, and what to do if it does not; for messages.

    Raises:
        DataError: the file is damaged, or holds anything but tensors, numbers, texts and collections of them.
        BackendError: torch is missing.
    """
    try:
        import torch
    except ImportError as err:
        raise missing_package("torch", "train", f"reading {path.name}") from err
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises many types for a damaged or unsafe file
        # torch goes on with advice to load the file with the code in it.
        first = (str(err).splitlines() or [type(err).__name__])[0].split(". ")[0]
        raise DataError(f"{path} cannot be loaded as {kind}: {first[:200]}. {advice}") from err


def oddity(tensor: Tensor) -> str | None:
    """What keeps a tensor from being read as an ordinary array, in words; None if nothing does. Allocates nothing."""
    import torch

    if tensor.is_quantized:
        return "is quantised"
    if tensor.layout is not torch.strided or tensor.is_nested:
        return f"is {'nested' if tensor.is_nested else 'sparse'} ({tensor.layout})"
    if tensor.device.type != "cpu":
        return f"is on the device {tensor.device.type}, without values"
    usual = {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16}
    if tensor.dtype not in usual | {torch.int8, torch.uint8, torch.bool}:
        return f"is {tensor.dtype}"
    # A view may show one stored value any number of times.
    claimed, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    return f"claims {claimed:,} bytes, of which the file holds {stored:,}" if claimed > stored else None
