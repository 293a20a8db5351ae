"""What cuda/driver/api.h declares of NVIDIA's driver API, against a cuda.h of NVIDIA's: the one in the Triton wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import mmkg_sdk.kernels

KERNELS = Path(mmkg_sdk.kernels.__file__).parent

# CUresult and the other enumerations are ints to a caller, handles are pointers.
CHECK = """
#include <type_traits>
#include <cuda.h>
#include "cuda/driver/api.h"
#include "cuda/image/image.h"

template <class T, bool IsEnum = std::is_enum<T>::value> struct plain { using type = T; };
template <class T> struct plain<T, true> { using type = int; };
// Same size, and both pointers or both not.
template <class Theirs, class Ours> constexpr bool fits() {
    return sizeof(Theirs) == sizeof(Ours) && std::is_pointer<Theirs>::value == std::is_pointer<Ours>::value &&
           std::is_integral<typename plain<Theirs>::type>::value == std::is_integral<Ours>::value;
}
template <class Theirs, class Ours> struct same : std::false_type {};
template <class R, class... A, class S, class... B> struct same<R(A...), S(B...)> {
    static constexpr bool count() { return sizeof...(A) == sizeof...(B); }
    template <bool Same, class... Bs> struct each { static constexpr bool value = false; };
    template <class... Bs> struct each<true, Bs...> { static constexpr bool value = (fits<A, Bs>() && ...); };
    static constexpr bool value = count() && fits<R, S>() && each<count(), B...>::value;
};
namespace ours = mmkg::cuda;
using ours::Address; using ours::Context; using ours::DeviceNumber; using ours::Event; using ours::Function;
using ours::Graph; using ours::GraphExec; using ours::MemoryPool; using ours::MemoryPoolProperties; using ours::Module;
using ours::Result; using ours::RowCopy; using ours::Stream; using ours::TensorMap;
#define CHECK(symbol, name, arguments) static_assert(same<decltype(symbol), Result arguments>::value, #symbol);
MMKG_CUDA_FUNCTIONS(CHECK)

static_assert(sizeof(CUtensorMap) == sizeof(TensorMap) && alignof(CUtensorMap) <= alignof(TensorMap));
static_assert(sizeof(CUtensorMap) == ours::kTensorMapBytes);
static_assert(sizeof(CUDA_MEMCPY2D) == sizeof(ours::RowCopy));
static_assert(offsetof(CUDA_MEMCPY2D, srcPitch) == offsetof(ours::RowCopy, from_pitch));
static_assert(offsetof(CUDA_MEMCPY2D, dstMemoryType) == offsetof(ours::RowCopy, to_type));
static_assert(offsetof(CUDA_MEMCPY2D, dstDevice) == offsetof(ours::RowCopy, to_device));
static_assert(offsetof(CUDA_MEMCPY2D, WidthInBytes) == offsetof(ours::RowCopy, width_bytes));
static_assert(ours::kHostMemory == CU_MEMORYTYPE_HOST && ours::kDeviceMemory == CU_MEMORYTYPE_DEVICE);
static_assert(sizeof(CUmemPoolProps) == sizeof(MemoryPoolProperties));
static_assert(offsetof(CUmemPoolProps, location) == offsetof(MemoryPoolProperties, location));
static_assert(offsetof(CUmemPoolProps, maxSize) == offsetof(MemoryPoolProperties, max_size));
static_assert(ours::kSuccess == CUDA_SUCCESS && ours::kOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(ours::kSharedMemoryOfBlock == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
static_assert(ours::kMultiprocessors == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
static_assert(ours::kL2Bytes == CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
static_assert(ours::kMajor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(ours::kMinor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(ours::kMemoryPools == CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED);
static_assert(ours::kDynamicSharedMemory == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
static_assert(ours::kNonBlocking == CU_STREAM_NON_BLOCKING);
static_assert(ours::kRelaxedCapture == CU_STREAM_CAPTURE_MODE_RELAXED);
static_assert(ours::kPinnedAllocation == CU_MEM_ALLOCATION_TYPE_PINNED);
static_assert(ours::kOnDevice == CU_MEM_LOCATION_TYPE_DEVICE);
static_assert(ours::kReleaseThreshold == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD);
static_assert(ours::kPromoteTo128Bytes == CU_TENSOR_MAP_L2_PROMOTION_L2_128B);
"""


@pytest.fixture(scope="module")
def cuda_h() -> Path:
    found = importlib.util.find_spec("triton")
    if found is None or found.origin is None:
        pytest.skip("Triton is not installed; its wheel has NVIDIA's cuda.h")
    return Path(found.origin).parent / "backends" / "nvidia" / "include"


def test_declarations_agree_with_nvidias_header(cuda_h: Path, tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    (tmp_path / "check.cpp").write_text(CHECK)
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{cuda_h}", f"-I{KERNELS}", tmp_path / "check.cpp"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_results_that_lose_a_gpu_have_the_numbers_of_nvidias_header(cuda_h: Path) -> None:
    numbers = dict(re.findall(r"(CUDA_ERROR_\w+)\s*=\s*(\d+)", (cuda_h / "cuda.h").read_text()))
    source = (KERNELS / "cuda" / "driver" / "driver.cpp").read_text()
    cases = re.findall(r"case (\d+):\s*// (CUDA_ERROR_\w+)", source)
    assert len(cases) > 10
    for number, name in cases:
        assert numbers[name] == number
