"""Backends: what runs the graphs of a bundle on one device, what stands in for graphs, and what ranks a table."""

from .base import BACKENDS, AnyArray, Backend, DeviceArray, open_backend

__all__ = ["BACKENDS", "AnyArray", "Backend", "DeviceArray", "open_backend"]
