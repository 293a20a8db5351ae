"""TensorRT and TensorRT for RTX: graphs as engines. Built here; never opened on a GPU yet."""

from .backend import TensorRtBackend

__all__ = ["TensorRtBackend"]
