"""Whether kernels can compute the layers of a MyGO bundle on a device."""

from __future__ import annotations

from ...backends.compiled import kernels_absence
from ...bundle import Bundle
from ...kernels.gpu import gpu_kernels_absence
from ...kernels.gpu.widths import layer_absence
from .config import MyGOConfig


def layers_absence(bundle: Bundle, device: str) -> str | None:
    """Why no compiled kernels can stand in for graphs of a bundle on a device; None if they can."""
    if not device.startswith("cuda"):
        return kernels_absence(device)
    config = MyGOConfig.of(bundle.config)
    return layer_absence(config.embedding_dim, config.num_heads) or gpu_kernels_absence(device)
