"""Tensors as arrays of a device. The streams here are pretended; no GPU takes part."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.backends.torch_arrays import TorchArray, TorchDevice
from mmkg_sdk.backends.torch_precision import full_float32, use_full_float32


class Stream:
    """Remembers whom it waits for."""

    def __init__(self, *made_of: Any) -> None:
        self.made_of = made_of
        self.waited_for: list[Stream] = []
        self.cuda_stream = id(self)

    def wait_stream(self, other: Stream) -> None:
        self.waited_for.append(other)


class Tensor:
    """Of a GPU, as far as `TorchDevice.tensor` looks at it."""

    def __init__(self) -> None:
        self.read_on: list[Stream] = []

    def record_stream(self, stream: Stream) -> None:
        self.read_on.append(stream)

    def to(self, device: str) -> Tensor:
        assert device == "cuda:1"
        return self


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> TorchDevice:
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    return TorchDevice("cuda:1")


def test_each_thread_has_a_stream_of_its_own(device: TorchDevice) -> None:
    mine = device.stream()
    assert device.stream() is mine
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(device.stream).result()
        assert pool.submit(device.stream).result() is other
    assert other is not mine
    assert other.made_of == ("cuda:1",)  # type: ignore[union-attr]
    assert TorchDevice("cpu").stream() is None
    assert TorchDevice("meta").stream() is None


def test_it_is_the_stream_of_the_kernels_where_there_are_some(
    device: TorchDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "ExternalStream", Stream)
    kernels = SimpleNamespace(handle=4711)
    monkeypatch.setattr("mmkg_sdk.backends.torch_arrays.thread_stream", lambda name: kernels)
    stream: Any = device.stream()
    assert stream.made_of == (4711, "cuda:1")
    assert stream.owner is kernels  # which outlives its thread


def test_what_another_thread_made_is_waited_for_and_kept_until_it_was_read(device: TorchDevice) -> None:
    other, made = Stream(), Tensor()
    mine: Any = device.stream()
    assert device.tensor(TorchArray(made, other)) is made  # type: ignore[arg-type, comparison-overlap]
    assert mine.waited_for == [other]
    assert made.read_on == [mine]
    own = Tensor()
    device.tensor(TorchArray(own, mine))  # type: ignore[arg-type]
    assert mine.waited_for == [other]
    assert own.read_on == []


def test_a_reader_waits_for_the_stream_of_the_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[Any] = []

    @contextmanager
    def current(stream: Any) -> Iterator[None]:
        entered.append(stream)
        yield

    monkeypatch.setattr(torch.cuda, "stream", current)
    stream: Any = Stream()
    TorchArray(torch.ones(3), stream).__dlpack__()
    assert entered == [stream]


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float32, "float32"), (torch.int64, "int64"), (torch.bool, "bool")]
)
def test_an_array_says_where_it_lies_and_of_what_it_is(dtype: torch.dtype, expected: str) -> None:
    tensor = torch.ones((2, 3), dtype=dtype)
    array = TorchArray(tensor)
    assert (array.shape, array.dtype, array.pointer) == ((2, 3), np.dtype(expected), tensor.data_ptr())


def test_a_dtype_that_numpy_has_not_is_an_error() -> None:
    with pytest.raises(TypeError, match="bits16"):
        _ = TorchArray(torch.empty(2, dtype=torch.bits16)).dtype


def test_placed_tensors_are_contiguous() -> None:
    turned = torch.arange(6.0).reshape(2, 3).T
    placed = TorchDevice("cpu").placed(turned)
    assert placed.tensor.is_contiguous()
    np.testing.assert_array_equal(placed.numpy(), turned.numpy())


def test_products_are_full_float32_and_what_was_set_comes_back() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        with full_float32(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "high"  # nothing of the CPU's
        with full_float32(torch.device("cuda")):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
        use_full_float32()
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
