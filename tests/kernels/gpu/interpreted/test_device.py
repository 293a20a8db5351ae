"""Memory, streams, events, graphs and errors of a GPU, with a stand-in for NVIDIA's driver."""

from __future__ import annotations

import ctypes
import gc
import threading

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels.gpu import Gpu, gpu_kernels_absence

from ..fake_driver.driver import OUT_OF_MEMORY
from .conftest import FakeGpu

NUMBERS = np.arange(7, dtype=np.float32).reshape(1, 7)


def test_a_gpu_is_opened_once_and_says_what_it_is(fake: FakeGpu) -> None:
    assert Gpu.open(0) is fake.gpu
    assert fake.gpu.compute_capability == (9, 0)
    assert fake.gpu.driver_version == (13, 0)
    assert "no GPU" in fake.gpu.name
    assert gpu_kernels_absence("cuda") is None
    assert "there is no GPU 1" in (gpu_kernels_absence("cuda:1") or "")
    assert "no CUDA device" in (gpu_kernels_absence("cpu") or "")


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 0, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_arrays_come_back_as_they_went(fake: FakeGpu, shape: tuple[int, ...], dtype: type) -> None:
    host = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    array = fake.gpu.array(host)
    assert array.pointer % 256 == 0
    assert (array.shape, array.dtype, array.nbytes) == (host.shape, host.dtype, host.nbytes)
    assert np.array_equal(array.numpy(), host)


def test_memory_is_freed_with_its_array(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    array = fake.gpu.empty((1000,), np.float32)
    assert fake.driver.memory_used == before + 4000
    del array
    gc.collect()
    assert fake.driver.memory_used == before
    free, everything = fake.gpu.memory()
    assert everything - free == before


def test_work_on_a_stream_is_not_waited_for_until_it_is(fake: FakeGpu) -> None:
    stream = fake.gpu.stream()
    array = fake.gpu.empty(7, np.float32, stream)
    assert np.array_equal(fake.gpu.array(NUMBERS, stream).numpy(), NUMBERS)
    first, last = fake.gpu.event(), fake.gpu.event()
    first.record(stream)
    last.record(stream)
    other = fake.gpu.stream()
    other.wait(last)
    other.synchronize()
    assert 0 <= last.elapsed_ms(first) < 1000
    assert array.numpy().shape == (7,)


def test_a_graph_runs_what_was_captured_at_each_launch(fake: FakeGpu) -> None:
    stream = fake.gpu.stream()
    source, target = fake.gpu.array(NUMBERS), fake.gpu.array(0 * NUMBERS)
    library = _library()
    with stream.capture() as graph:
        library.mmkg_gpu_copy(fake.gpu.handle, target.pointer, source.pointer, source.nbytes, stream.handle)
    stream.synchronize()
    assert np.array_equal(target.numpy(stream), 0 * NUMBERS)
    for _ in range(2):
        library.mmkg_gpu_fill(fake.gpu.handle, target.pointer, 0, target.nbytes, stream.handle)
        graph.launch(stream)
        assert np.array_equal(target.numpy(stream), NUMBERS)


def test_a_failed_capture_leaves_the_stream_of_use(fake: FakeGpu) -> None:
    stream = fake.gpu.stream()
    with pytest.raises(BackendError, match="CUDA_ERROR"), stream.capture() as graph:
        stream.synchronize()
    with pytest.raises(BackendError, match="the graph is empty"):
        graph.launch(stream)
    stream.synchronize()


def test_too_little_memory_says_how_much_was_asked_for(fake: FakeGpu) -> None:
    with pytest.raises(BackendError, match=r"get on the GPU 8000000000 bytes.*OUT_OF_MEMORY"):
        fake.gpu.empty(10**9, np.int64)
    fake.driver.fail("cuMemAlloc", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match="OUT_OF_MEMORY"):
        fake.gpu.array(NUMBERS)
    assert np.array_equal(fake.gpu.array(NUMBERS).numpy(), NUMBERS)


def test_threads_have_no_context_before_and_after_a_call(fake: FakeGpu) -> None:
    found: list[object] = []

    def work() -> None:
        found.append(fake.gpu.array(NUMBERS).numpy())
        found.append(fake.driver.context_depth)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert np.array_equal(found[0], NUMBERS)  # type: ignore[arg-type]
    assert found[1] == 0


def test_a_dlpack_capsule_keeps_the_memory_until_it_is_dropped(fake: FakeGpu) -> None:
    before = fake.driver.memory_used
    array = fake.gpu.array(NUMBERS)
    assert array.__dlpack_device__() == (2, 0)
    capsule = array.__dlpack__(stream=1)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer(id(capsule), b"dltensor")
    assert ctypes.c_void_p.from_address(pointer).value == array.pointer
    assert (ctypes.c_int32 * 3).from_address(pointer + 8)[:] == [2, 0, 2]  # device, its number, axes
    assert bytes((ctypes.c_uint8 * 4).from_address(pointer + 20)) == bytes([2, 32, 1, 0])  # float32
    del array
    gc.collect()
    assert fake.driver.memory_used == before + NUMBERS.nbytes
    del capsule
    gc.collect()
    assert fake.driver.memory_used == before


def test_dlpack_refuses_what_it_cannot_share(fake: FakeGpu) -> None:
    with pytest.raises(BufferError, match="shared where it is"):
        fake.gpu.array(NUMBERS).__dlpack__(copy=True)
    with pytest.raises(BufferError, match="datetime64"):
        fake.gpu.empty(1, "datetime64[s]").__dlpack__()


def _library() -> ctypes.CDLL:
    from mmkg_sdk.kernels.gpu.library import gpu_library

    return gpu_library()
