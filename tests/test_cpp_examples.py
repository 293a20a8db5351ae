"""The programs of cpp_examples, built by find_package(mmkg) and asked what Python is asked."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import numpy as np
import pytest

from mmkg_sdk import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels.cmake import cmake_dir
from tests.cpp.building import build_examples, building_absence
from tests.cpp.tensorrt_headers import tensorrt_headers
from tests.places import ROOT

Ranked = list[tuple[np.float32, str]]
WARNINGS = "-O1 -Wall -Wextra -Wpedantic -Werror"


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all programs that can be built here, and what CMake said in `said.txt`."""
    if absence := building_absence():
        pytest.skip(absence)
    build = tmp_path_factory.mktemp("cpp") / "examples"
    said = build_examples(build, f"mmkg_DIR={cmake_dir()}", f"-DCMAKE_CXX_FLAGS={WARNINGS}")
    (build / "said.txt").write_text(said)
    return build


@pytest.fixture(scope="module", params=["mygo", "adamf_mat"])
def bundle(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path]) -> Path:
    return golden_bundles("db15k_like", "fp32", request.param)


@pytest.fixture(scope="module")
def server(examples: Path, golden_bundle: Path) -> Iterator[str]:
    """The address of embed_in_server with the golden bundle."""
    if not (examples / "embed_in_server").exists():
        pytest.skip("embed_in_server was not built: no cpp-httplib")
    with subprocess.Popen([examples / "embed_in_server", golden_bundle], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_complete_answers_as_python_does_to_the_bit(examples: Path, bundle: Path) -> None:
    with Model.load(bundle, device="cpu") as model:
        head, relation = model.bundle.entities[3], model.bundle.relations[1]
        tails, heads = model.predict_tails(head, relation, k=7)[0], model.predict_heads(relation, head, k=7)[0]
    for side, first, second, expected in (("tails", head, relation, tails), ("heads", relation, head, heads)):
        wanted = list(zip(np.float32(expected.scores), expected.labels, strict=True))
        assert ranked(run(examples / "complete", bundle, side, first, second, "7")) == wanted


def test_nearest_entities_are_those_of_numpy(examples: Path, bundle: Path) -> None:
    opened = Bundle.open(bundle)
    table, labels = opened.table, list(opened.entities)
    scores = table.astype(np.float64) @ table[3].astype(np.float64)
    order = [i for i in np.argsort(-scores, kind="stable").tolist() if i != 3][:5]
    found = ranked(run(examples / "nearest", bundle, labels[3], "5"))
    assert [label for _, label in found] == [labels[i] for i in order]
    np.testing.assert_allclose([score for score, _ in found], scores[order], rtol=1e-5)


def test_bench_counts_every_query_of_every_thread(examples: Path, bundle: Path) -> None:
    printed = run(examples / "bench", bundle, "3", "40")
    p50, p90, p99, most = (float(number) for number in re.findall(r"^(?:p\d\d|max) +([\d.]+) us$", printed, re.M))
    assert 0 < p50 <= p90 <= p99 <= most
    counts = [(int(bound), int(count)) for bound, count in re.findall(r"up to +(\d+) us +(\d+) +#", printed)]
    assert sum(count for _, count in counts) == 120
    assert re.search(r"^queries +120$", printed, re.M)
    assert counts[-1][0] / 2 <= most <= counts[-1][0]


def test_the_server_answers_many_threads_at_once_as_python_does(server: str, golden_bundle: Path) -> None:
    with Model.load(golden_bundle, device="cpu") as model:
        entities, relation = list(model.bundle.entities), model.bundle.relations[2]
        expected = model.predict_tails(entities, relation, k=4)

    def asked(head: str) -> Ranked:
        with urlopen(f"{server}/tails?{urlencode({'head': head, 'relation': relation, 'k': 4})}", timeout=30) as answer:
            return ranked(answer.read().decode())

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(asked, entities * 2))
    wanted = [list(zip(np.float32(answer.scores), answer.labels, strict=True)) for answer in expected]
    assert found == wanted * 2


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"head": "nobody", "relation": "relation 1"}, "unknown entity 'nobody'"),
        ({"head": "entity 1", "relation": "nothing"}, "unknown relation 'nothing'"),
        ({"head": "entity 1", "relation": "relation 1", "k": "0"}, "k is 0"),
        ({"head": "entity 1", "relation": "relation 1", "k": "ten"}, "'ten' is given where a whole number"),
        ({}, "unknown entity ''"),
    ],
)
def test_the_server_says_what_is_wrong_and_goes_on(query: dict[str, str], said: str, server: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{server}/tails?{urlencode(query)}", timeout=30)
    assert refused.value.code == 400
    assert said in refused.value.read().decode()
    with urlopen(f"{server}/heads?{urlencode({'relation': 'relation 1', 'tail': 'entity 1'})}", timeout=30) as answer:
        assert len(ranked(answer.read().decode())) == 10


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        ("complete", ["tails", "nobody", "relation 1"], "complete: unknown entity 'nobody'"),
        ("complete", ["tails", "entity 1", "nothing"], "complete: unknown relation 'nothing'"),
        ("complete", ["tails", "entity 1", "relation 1", "-1"], "complete: k is -1"),
        ("complete", ["tails", "entity 1", "relation 1", "5x"], "complete: '5x' is given where a whole number"),
        ("complete", ["entity 1", "relation 1"], "usage: complete"),
        ("nearest", ["nobody"], "nearest: unknown entity 'nobody'"),
        ("nearest", ["entity 1", "5x"], "usage: nearest"),
        ("bench", ["0"], "usage: bench"),
        ("bench", ["2x"], "usage: bench"),
    ],
)
def test_what_is_wrong_is_said(
    program: str, arguments: list[str], said: str, examples: Path, golden_bundle: Path
) -> None:
    assert said in failed(examples / program, golden_bundle, *arguments)


@pytest.mark.parametrize("program", [("complete", "tails", "x", "y"), ("nearest", "x"), ("bench",)])
def test_a_changed_bundle_is_refused(
    program: tuple[str, ...], examples: Path, golden_bundle: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(golden_bundle, copy)
    with (copy / "table.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    name, *arguments = program
    assert "table.safetensors was changed" in failed(examples / name, copy, *arguments)


def test_a_library_of_another_version_is_refused_when_it_is_loaded(
    examples: Path, golden_bundle: Path, tmp_path: Path
) -> None:
    source, other = tmp_path / "version.c", tmp_path / "other.so"
    source.write_text("int mmkg_abi_version(void) { return 4001; }\n")
    run("cc", "-shared", "-fPIC", source, "-o", other)
    said = failed("env", f"LD_PRELOAD={other}", examples / "complete", golden_bundle, "tails", "entity 1", "relation 1")
    assert "libmmkg has version 4.1 of the C interface, and libmmkg_model needs 3." in said


def test_cmake_says_what_it_does_not_build(examples: Path) -> None:
    said = (examples / "said.txt").read_text()
    for name in ("embed_in_server", "tensorrt_complete"):
        assert (examples / name).exists() != (f"{name} is not built: " in said)


def test_the_tensorrt_example_compiles_with_the_headers_of_the_sdk(tmp_path: Path) -> None:
    include = [f"-isystem{path}" for path in tensorrt_headers()]
    include += [f"-I{ROOT / path}" for path in ("mmkg_sdk/cpp/include", "mmkg_sdk/kernels/include")]
    source = ROOT / "cpp_examples" / "tensorrt_complete.cpp"
    flags = ["-std=c++17", *WARNINGS.split(), "-Wconversion", "-Wshadow"]
    run("c++", *flags, *include, "-c", source, "-o", tmp_path / "tensorrt_complete.o")


def test_what_the_tensorrt_example_calls_is_there_in_both_releases() -> None:
    """By the Python names of the same functions: only the headers of one release were at hand."""
    source = (ROOT / "cpp_examples" / "tensorrt_complete.cpp").read_text()
    called = set(re.findall(r"(?:runtime|engine|context)->(\w+)\(", source))
    other_names = {"enqueueV3": "execute_async_v3"}
    names = {other_names.get(name) or re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in called}
    assert len(names) >= 6
    for release in ("10.16.1.11", "11.4.0.106"):
        api = json.loads((ROOT / f"tests/backends/tensorrt/api/tensorrt-{release}.json").read_text())
        assert names <= {name for members in api.values() for name in members}


def ranked(printed: str) -> Ranked:
    lines = [line.split("\t", 1) for line in printed.splitlines()]
    return [(np.float32(score), label) for score, label in lines]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def failed(*command: str | Path) -> str:
    """What a program says that ends with 1 and answers nothing."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr
