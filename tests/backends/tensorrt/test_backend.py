"""What the backend says where there is no GPU, and that "auto" does not ask it. See stand_in/ for the rest."""

from __future__ import annotations

import importlib.util

import pytest

import mmkg_sdk
from mmkg_sdk import BackendError
from mmkg_sdk.backends import base, open_backend
from mmkg_sdk.backends.tensorrt import TensorRtBackend
from mmkg_sdk.backends.tensorrt.bindings import Bindings
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels.gpu import gpu_kernels_absence

without_gpu = pytest.mark.skipif(gpu_kernels_absence("cuda") is None, reason="this machine has a GPU")


@without_gpu
@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:3"])
def test_without_a_gpu_it_says_what_is_missing_and_takes_no_other_device(
    device: str, rtx: Bindings, bundle: Bundle
) -> None:
    missing = (gpu_kernels_absence("cuda") or "").rstrip(".")
    with pytest.raises(BackendError) as err:
        mmkg_sdk.load(bundle.path, "tensorrt", device)
    assert str(err.value).startswith(f"backend 'tensorrt' has no GPU to run on: {missing}. Pass backend='onnxruntime'")
    assert TensorRtBackend.device_for(device) is None


def test_the_cpu_is_refused(rtx: Bindings, bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="engines run on GPUs, and device 'cpu' was asked for"):
        open_backend(bundle, "tensorrt", "cpu")


def test_auto_does_not_ask_it(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    asked: list[str] = []
    backend_class = base._backend_class

    def noted(name: str) -> type[base.Backend]:
        asked.append(name)
        return backend_class(name)

    monkeypatch.setattr(base, "_backend_class", noted)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())  # everything is installed
    open_backend(bundle, "auto", "cpu")
    assert asked == ["onnxruntime", "torch"]
