"""Whether kernels can compute the layers of a MyGO bundle on a device."""

from __future__ import annotations

from ...backends.base import parse_device
from ...backends.compiled import kernels_absence
from ...bundle import Bundle
from ...kernels.gpu.widths import layer_absence
from .config import MyGOConfig


def layers_absence(bundle: Bundle, device: str) -> str | None:
    """Why no compiled kernels can stand in for graphs of a bundle; None if they can."""
    if why := kernels_absence(device, on_gpus=True):
        return why
    config = MyGOConfig.of(bundle.config)
    return None if parse_device(device)[0] == "cpu" else layer_absence(config.embedding_dim, config.num_heads)
