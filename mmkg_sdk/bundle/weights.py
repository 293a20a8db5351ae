"""Whether the weights of a bundle are those of its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..files.tensors import BFLOAT16_BITS, tensors_in
from ..registry import family_part
from .config import FamilyConfig

_FLOAT32 = np.dtype("<f4")
_MULTIPLIED = {"fp32": _FLOAT32, "fp16": np.dtype("<f2"), "bf16": BFLOAT16_BITS, "int8": _FLOAT32, "fp8": _FLOAT32}


def check_weights(folder: Path, content: memoryview, config: FamilyConfig, precision: str, family: str) -> None:
    """Compare names, shapes and dtypes with what the configuration makes of them; no number is read.

    A size that no weight has could be changed without a word, and building a model of it could take any memory.

    Raises:
        BundleError: they differ, or the file is damaged.
    """
    from safetensors import SafetensorError

    path = folder / "weights.safetensors"
    try:
        weights = tensors_in(content)
    except SafetensorError as err:
        raise BundleError(f"{path} is not a valid safetensors file ({err}). Export the bundle again.") from err
    shapes: Callable[[FamilyConfig], Mapping[str, tuple[int, ...]]] = family_part(family, "runtime").weight_shapes
    for name, shape in shapes(config).items():
        found = list(weights[name].shape) if name in weights else "missing"
        if found != list(shape):
            raise BundleError(
                f"{path}: {name} is {found}; by the configuration {list(shape)}. Export the bundle again."
            )
        if "multiplied_" in name and (dtype := weights[name].dtype) != _MULTIPLIED[precision]:
            raise BundleError(f"{path}: {name} is {dtype} in a bundle in {precision}. Export the bundle again.")
