"""Engines that are taken from the cache or built, by several processes and by one that is killed; all of them real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmkg_sdk.backends.tensorrt import prepare
from mmkg_sdk.backends.tensorrt.bindings import Bindings
from mmkg_sdk.backends.tensorrt.cache import EngineCache
from mmkg_sdk.backends.tensorrt.machine import Machine
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.prepare import PreparedEngine, build_engines, fitting_engine, prepare_engine
from mmkg_sdk.backends.tensorrt.profiles import parse_buckets
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError

from .plans import plan_header

GRAPH = "query_encoder"
SMALL = BuildOptions(buckets=parse_buckets(["batch=1:2:4"]))
# Builds one engine with the options of SMALL, and says whether it built.
PROGRAM = """
import sys
from mmkg_sdk.backends.tensorrt.bindings import load_bindings
from mmkg_sdk.backends.tensorrt.cache import EngineCache
from mmkg_sdk.backends.tensorrt.machine import Machine
from mmkg_sdk.backends.tensorrt.prepare import prepare_engine
from mmkg_sdk.bundle import Bundle
from tests.backends.tensorrt.test_prepare import GRAPH, SMALL
bindings, bundle = load_bindings("tensorrt-rtx"), Bundle.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(prepare_engine(bindings, bundle, GRAPH, SMALL, Machine(), EngineCache.open()).built)
"""


def get(rtx: Bindings, bundle: Bundle, options: BuildOptions = SMALL) -> PreparedEngine:
    return prepare_engine(rtx, bundle, GRAPH, options, Machine(), EngineCache.open())


def program(bundle: Bundle) -> subprocess.Popen[str]:
    """A process that is about to build."""
    command = [sys.executable, "-c", PROGRAM, str(bundle.path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_engine_is_built_once(rtx: Bindings, bundle: Bundle, own_cache: Path) -> None:
    first, second = get(rtx, bundle), get(rtx, bundle)
    assert (first.built, second.built) == (True, False)
    assert first.engine == second.engine
    assert plan_header(second.engine.plan).version == rtx.version
    assert files(own_cache) == sorted([first.engine.path, first.engine.path.with_suffix(".json")])
    described = second.to_json()
    assert described["profiles"] == [{"num_entities": "1:40:1048576", "batch": "1:2:4"}]
    assert (described["flavour"], described["architecture"], described["built"]) == ("tensorrt-rtx", "any", False)


@pytest.mark.parametrize("damage", ["truncated", "changed", "record of another version"])
def test_an_engine_that_is_not_as_it_was_is_built_again(
    damage: str, rtx: Bindings, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    engine = get(rtx, bundle).engine
    if damage == "truncated":
        os.truncate(engine.path, 1000)
    elif damage == "changed":
        engine.path.write_bytes(engine.plan[:-1] + bytes([engine.plan[-1] ^ 1]))
    else:
        record = replace(engine.record, key=replace(engine.record.key, version="1.6.0.5"))
        engine.path.with_suffix(".json").write_bytes(record.to_bytes())
    again = get(rtx, bundle)
    assert again.built
    assert again.engine.path == engine.path
    assert plan_header(again.engine.plan).size == again.engine.record.size
    assert len([record for record in caplog.records if "discarded" in record.getMessage()]) == 1


def test_bundles_with_other_weights_have_other_engines(rtx: Bindings, bundle: Bundle) -> None:
    files_entry = bundle.manifest["files"]
    other = {**files_entry, "weights.safetensors": {**files_entry["weights.safetensors"], "sha256": "0" * 64}}
    retrained = replace(bundle, manifest={**bundle.manifest, "files": other})
    assert get(rtx, bundle).engine.path.parent != get(rtx, retrained).engine.path.parent


def test_a_machine_takes_what_was_built_with_other_options(
    rtx: Bindings, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """The GPU is pretended: only its number is asked for."""
    cache, machine = EngineCache.open(), Machine("8.9")
    foreign = get(rtx, bundle, replace(SMALL, compute_capabilities=("12.0",)))
    built = fitting_engine(rtx, bundle, GRAPH, machine, cache)
    assert built.built
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"The engine of {GRAPH} that is there does not fit and another is built: architecture is 12.0, this GPU is "
        "8.9.",
        f"{GRAPH} has no engine here yet. It is built now, which may take minutes; `mmkg-sdk build-engine` does it "
        "ahead.",
    ]
    assert foreign.engine.path.exists()
    ahead = get(rtx, bundle, replace(SMALL, compute_capabilities=("8.9", "12.0")))
    found = fitting_engine(rtx, bundle, GRAPH, machine, cache)
    assert (found.built, found.engine.path) == (False, ahead.engine.path)


def test_of_two_processes_one_builds_and_the_other_waits_and_takes_it(
    rtx: Bindings, bundle: Bundle, own_cache: Path
) -> None:
    both = [program(bundle) for _ in range(2)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert said == ["False", "True"]
    assert len(files(own_cache)) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals as of POSIX")
def test_a_killed_build_leaves_nothing_and_frees_the_lock(rtx: Bindings, bundle: Bundle, own_cache: Path) -> None:
    process = program(bundle)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    end = time.monotonic() + 30
    while not list(own_cache.rglob("*.lock")):
        assert time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert [path.suffix for path in files(own_cache)] == [".lock"]
    assert get(rtx, bundle).built
    assert len(files(own_cache)) == 2


def test_a_build_that_fails_leaves_nothing(rtx: Bindings, bundle: Bundle, own_cache: Path) -> None:
    options = BuildOptions(buckets=SMALL.buckets, compute_capabilities=("7.5",))
    with pytest.raises(BackendError, match="was not built"):
        get(rtx, bundle, options)
    assert files(own_cache) == []


def test_tensorrt_is_refused_where_there_is_no_gpu(rtx: Bindings, bundle: Bundle) -> None:
    """With the bindings of the other flavour, of which nothing is called."""
    with pytest.raises(BackendError, match="TensorRT builds on the GPU that the engine is for, and there is none here"):
        get(replace(rtx, flavour="tensorrt"), bundle)


def test_all_graphs_of_a_bundle_are_built_in_order(rtx: Bindings, bundle: Bundle, own_cache: Path) -> None:
    said: list[str] = []
    engines = list(build_engines(bundle, SMALL, flavour="tensorrt-rtx", progress=said.append))
    assert [engine.engine.record.key.graph for engine in engines] == list(bundle.graphs)
    assert said == [f"{graph}: tensorrt-rtx {rtx.version}" for graph in bundle.graphs]
    assert len(files(own_cache)) == 2 * len(bundle.graphs)


def test_an_axis_that_no_graph_has_is_refused_before_anything_is_built(
    rtx: Bindings, bundle: Bundle, own_cache: Path
) -> None:
    options = BuildOptions(buckets=parse_buckets(["bacth=1"]))
    with pytest.raises(BackendError, match=r"no graph of this bundle has an axis 'bacth'; there are .*batch"):
        list(build_engines(bundle, options, flavour="tensorrt-rtx"))
    assert files(own_cache) == []


def test_the_build_is_asked_once_where_the_engine_is_there(
    rtx: Bindings, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    get(rtx, bundle)
    monkeypatch.delattr(prepare, "build_engine")
    assert not get(rtx, bundle).built
