"""Whether this machine has a GPU at all, asked without loading a driver or a runtime."""

from __future__ import annotations

import os
import sys

# How the devices of drivers are named: NVIDIA's, with Tegra's and Windows Subsystem for Linux's, and AMD's.
NVIDIA = ("nvidia", "nvhost", "nvgpu", "nvmap", "dxg")
AMD = ("kfd",)


def has_no_gpu(names: tuple[str, ...] = (*NVIDIA, *AMD)) -> bool:
    """Whether this is a Linux without a device of these drivers; other systems cannot be told, and may have one."""
    return sys.platform == "linux" and not any(entry.startswith(names) for entry in os.listdir("/dev"))
