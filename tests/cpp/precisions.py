"""A bundle of another precision without an export of ten seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.attacks.reseal import change_manifest, reseal

_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def in_half(bundle: Path, folder: Path, precision: str) -> Path:
    """A copy of an fp32 bundle whose multiplied weights are in half precision.

    Its graphs point to places of the old file and are of no use: it is for kernels. A tensor of no graph makes the file
    as long as it was, so that those places are in it.
    """
    shutil.copytree(bundle, folder)
    path = folder / "weights.safetensors"
    size = path.stat().st_size
    weights = load_file(path)
    weights = {name: w.to(_DTYPES[precision]) if "multiplied_" in name else w for name, w in weights.items()}
    save_file({**weights, "padding": torch.zeros(size, dtype=torch.uint8)}, path)
    change_manifest(folder, lambda manifest: manifest.update(precision=precision))
    reseal(folder)
    return folder
