"""TensorRT engines from the C++ library: compiled with the real headers, run by a stand-in for the library on the host.

The stand-in is no TensorRT and there is no GPU: NVIDIA's driver is that of tests/kernels/gpu. What is real are the
headers, the engines' records, which Python writes, and our code.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.backends.tensorrt.cache import EngineCache
from mmkg_sdk.backends.tensorrt.profiles import Range
from mmkg_sdk.backends.tensorrt.record import EngineKey, graph_content
from mmkg_sdk.bundle import Bundle
from tests.cpp.conftest import Ask
from tests.cpp.tensorrt_headers import tensorrt_headers
from tests.cpp.test_answers import bits
from tests.kernels.gpu.fake_driver.driver import compile_driver
from tests.places import ROOT

ADAMF = ROOT / "tests" / "released" / "0.2.0" / "adamf_mat"
GRAPH = "entity_encoder"
Put = Callable[..., None]


def plain_classes(header: Path) -> str:
    """Classes that end the program in every function that NVIDIA's leave open."""
    text = header.read_text()
    lines = ["#include <NvInferRuntime.h>", "#include <cstdlib>", "namespace {", "using namespace nvinfer1;"]
    for name in ("Runtime", "CudaEngine", "ExecutionContext"):
        body = re.search(rf"^class V{name} : public VRoot\n{{(.*?)^}};", text, re.DOTALL | re.MULTILINE)
        assert body
        found = re.findall(r"(^#[^\n]*)|virtual ([^;]*?) = 0;", body[1], re.DOTALL | re.MULTILINE)
        assert len(found) > 20
        lines += [f"struct Plain{name} : apiv::V{name} {{"]
        lines += [condition or f"{function} override {{ std::abort(); }}" for condition, function in found]
        lines += ["};"]
    return "\n".join([*lines, "}", ""])


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See tensorrt_stand_in.cpp."""
    folder = tmp_path_factory.mktemp("tensorrt")
    headers = tensorrt_headers()
    (folder / "plain.hpp").write_text(plain_classes(headers[0] / "NvInferImpl.h"))
    include = [f"-isystem{path}" for path in headers]
    flags = ["-std=c++17", "-shared", "-fPIC", "-w", f"-I{folder}"]
    source, out = Path(__file__).with_name("tensorrt_stand_in.cpp"), folder / "libnvinfer_stand_in.so"
    subprocess.run(["c++", *flags, *include, source, "-o", out], check=True)
    return out


@pytest.fixture
def driver(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of compute capability 9.0."""
    monkeypatch.setenv("MMKG_CUDA_DRIVER", str(compile_driver(tmp_path_factory.mktemp("driver"))))
    monkeypatch.setenv("FAKE_CUDA_CAPABILITY", "90")


@pytest.fixture
def engines(tmp_path: Path) -> EngineCache:
    return EngineCache.open(tmp_path / "cache")


def key(**other: object) -> EngineKey:
    content = graph_content(Bundle.open(ADAMF), GRAPH)
    options = {"hardware": None, "strip": False, "version_compatible": False}
    given = {"flavour": "tensorrt", "version": "10.14.1.48.post1", "architecture": "8.9,9.0", "options": options}
    return EngineKey(**{"graph": GRAPH, "content": content, **given, **other})


def put(engines: EngineCache, plan: str, **other: object) -> None:
    profiles = ({"batch": Range(1, 1, 1)}, {"batch": Range(2, 8, 64)})
    with engines.lock(key(**other)):
        engines.put(key(**other), plan.encode(), profiles, 1.0)


def plan() -> str:
    spec = Bundle.open(ADAMF).graphs[GRAPH]
    outputs = [f"{tensor.name}:{tensor.shape[1]}" for tensor in spec.outputs]
    return " ".join(["engine", *outputs, *(tensor.name for tensor in spec.exported_inputs)])


def features(count: int) -> tuple[np.ndarray, str]:
    """What the stand-in makes of random features, and how they are told to the program."""
    bundle = Bundle.open(ADAMF)
    widths = [bundle.inputs[f"{kind}_features"].shape[1] for kind in ("visual", "text")]
    out = bundle.encoded["vectors"].shape[1]
    random = np.random.default_rng(0)
    visual, text = (random.integers(-4, 5, (count, width)).astype(np.float32) for width in widths)
    parts = [f"{' '.join(bits(one))}\t{' '.join(bits(two))}\t-" for one, two in zip(visual, text, strict=True)]
    expected = (1000 * visual.sum(1) + text.sum(1))[:, None] + np.arange(out, dtype=np.float32)
    return expected.astype(np.float32), "features\t" + "\t".join(parts)


def asked(ask: Ask, library: str | Path, engines: EngineCache, line: str) -> str:
    (answer,) = ask(["model", ADAMF, "1", "", "cpu", library, engines.folder], [line])
    return answer


@pytest.mark.parametrize("count", [1, 3, 64])
def test_an_engine_takes_what_the_graph_takes_and_its_outputs_come_back(
    count: int, ask: Ask, stand_in: Path, driver: None, engines: EngineCache
) -> None:
    put(engines, plan())
    expected, line = features(count)
    assert asked(ask, stand_in, engines, line).split() == bits(expected)


def test_sizes_without_a_profile_are_refused(ask: Ask, stand_in: Path, driver: None, engines: EngineCache) -> None:
    put(engines, plan())
    answer = asked(ask, stand_in, engines, features(65)[1])
    assert answer.startswith("query\tthe engine of entity_encoder has no profile for batch 65")
    assert "mmkg-sdk build-engine --profile" in answer


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"content": "0" * 64}, "none was built for this graph and these weights"),
        ({"version": "10.13.3.9"}, "it is of TensorRT 10.13.3.9, this is 10.14.1.48"),
        ({"version": "10.14.1.480"}, "it is of TensorRT 10.14.1.480, this is"),
        ({"flavour": "tensorrt-rtx"}, "it is one of tensorrt-rtx"),
        ({"architecture": "8.9"}, "it is for a GPU of compute capability 8.9, this is 9.0"),
        ({"options": {"hardware": None, "strip": True, "version_compatible": False}}, "without its weights"),
    ],
)
def test_an_engine_that_does_not_fit_is_not_opened(
    other: dict[str, object], said: str, ask: Ask, stand_in: Path, driver: None, engines: EngineCache
) -> None:
    put(engines, plan(), **other)
    answer = asked(ask, stand_in, engines, features(1)[1])
    assert answer.startswith("backend\tthere is no engine of entity_encoder in ")
    assert said in answer


def test_a_changed_engine_or_record_is_not_opened(ask: Ask, stand_in: Path, driver: None, engines: EngineCache) -> None:
    put(engines, plan())
    (engine,) = engines.folder.rglob("*.engine")
    whole = engine.read_bytes()
    engine.write_bytes(whole[:-1] + b"x")
    assert f"{engine} was changed" in asked(ask, stand_in, engines, features(1)[1])
    engine.write_bytes(whole)
    record = engine.with_suffix(".json")
    record.write_text(record.read_text().replace('"most": 64', '"most": 640'))
    assert f"{record} was changed" in asked(ask, stand_in, engines, features(1)[1])


def test_a_folder_that_others_may_write_to_is_refused(
    ask: Ask, stand_in: Path, driver: None, engines: EngineCache
) -> None:
    put(engines, plan())
    engines.folder.chmod(0o777)
    assert "is another user's or open to others" in asked(ask, stand_in, engines, features(1)[1])


def test_what_tensorrt_says_is_told(
    ask: Ask, stand_in: Path, driver: None, engines: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engines, "nonsense")
    answer = asked(ask, stand_in, engines, features(1)[1])
    assert answer == "backend\tentity_encoder: TensorRT does not open the engine: magicTag does not match."
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    answer = asked(ask, stand_in, engines, features(1)[1])
    assert answer == "backend\tTensorRT does not start: CUDA initialization failure with error: 35."


def test_another_library_is_named(ask: Ask, stand_in: Path, driver: None, engines: EngineCache) -> None:
    line = features(1)[1]
    assert "libm.so.6 has no function getInferLibMajorVersion" in asked(ask, "libm.so.6", engines, line)
    assert "Options::tensorrt" in asked(ask, "libnone.so", engines, line)
    package = find_spec("tensorrt_rtx_libs")
    if package and package.submodule_search_locations:  # a real library, with other headers
        library = Path(package.submodule_search_locations[0]) / "libtensorrt_rtx.so.1"
        answer = asked(ask, library, engines, line)
        assert re.search(r"libtensorrt_rtx.so.1 is TensorRT 1\.\d+\..*; this library was built for 10\.", answer)


def test_without_a_driver_the_gpu_is_missed(
    ask: Ask, stand_in: Path, engines: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMKG_CUDA_DRIVER", "libcuda_that_is_not_there.so")
    answer = asked(ask, stand_in, engines, features(1)[1])
    assert answer.startswith("backend\tdevice cuda cannot be opened: ")
