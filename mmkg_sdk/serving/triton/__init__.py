"""A bundle as a model repository of NVIDIA's Triton Inference Server."""

from .repository import export_triton

__all__ = ["export_triton"]
