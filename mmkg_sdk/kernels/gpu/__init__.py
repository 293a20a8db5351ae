"""Kernels on an NVIDIA GPU, behind the C functions of include/mmkg_cuda.h. They need NVIDIA's driver and numpy.

NOT RUN ON A GPU YET: compiled ahead of time, and tested on CPUs only.
"""

from __future__ import annotations

from .answers import TopKOnGpu
from .device import Event, Gpu, GpuArray, Graph, Stream, gpu_kernels_absence
from .library import gpu_kernels_state
from .scan import GpuScan, GpuScanReport

__all__ = [
    "Event",
    "Gpu",
    "GpuArray",
    "GpuScan",
    "GpuScanReport",
    "Graph",
    "Stream",
    "TopKOnGpu",
    "gpu_kernels_absence",
    "gpu_kernels_state",
]
