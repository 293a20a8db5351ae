"""Backends: what runs the graphs of a bundle on one device, what stands in for graphs, and what ranks a table."""

from .base import BACKENDS, AnyArray, Backend, DeviceArray, open_backend
from .torch_threads import use_torch_threads

__all__ = ["BACKENDS", "AnyArray", "Backend", "DeviceArray", "open_backend", "use_torch_threads"]
