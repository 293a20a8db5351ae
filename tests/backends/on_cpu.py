"""The backends that every test of backends runs over. Engines of TensorRT need a GPU; see tensorrt/."""

from mmkg_sdk.backends import BACKENDS

ON_CPU = [name for name in BACKENDS if name != "tensorrt"]
