"""mmkg::Model on a GPU that is none: the answers of Python's model there, to the bit."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmkg_sdk import kernels
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels.gpu import library as gpu_library
from mmkg_sdk.ranking.known_triples import HEAD, TAIL
from tests.answering.stand_in_gpu import StandInBackend
from tests.cpp.random_bundles import random_bundle

from ..fake_driver.mended import rows_multiplied_alike
from .conftest import FakeGpu

BUNDLES = Path(__file__).parents[3] / "released" / "0.2.0"
KERNELS = Path(kernels.__file__).parent
QUERIES = np.array([[0, 0, TAIL], [3, 1, HEAD], [8, 0, HEAD], [5, 1, TAIL]], np.int64)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """See model_on_gpu.cpp."""
    compiler = shutil.which("c++")
    if compiler is None or not (KERNELS / "libmmkg_model.so").is_file():
        pytest.skip("no C++ compiler, or mmkg::model was not built")
    out = tmp_path_factory.mktemp("cpp") / "libmodel_on_gpu.so"
    source = Path(__file__).with_name("model_on_gpu.cpp")
    headers = [f"-I{path}" for path in (KERNELS.parent / "cpp" / "include", KERNELS / "include")]
    link = [f"-L{KERNELS}", "-lmmkg_model", "-lmmkg", f"-Wl,-rpath,{KERNELS}"]
    flags = ["-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, *headers, source, *link, "-o", out], check=True)
    found = ctypes.CDLL(str(out))
    found.open_model.restype, found.last_error.restype = ctypes.c_void_p, ctypes.c_char_p
    for function in (found.predict, found.score, found.add):
        function.restype = ctypes.c_bool
    return found


class OnGpu:
    """A model of the C++ library."""

    def __init__(self, program: ctypes.CDLL, bundle: Path, device: str = "cuda:0") -> None:
        self._program = program
        image = str(gpu_library.IMAGE_FILE).encode()
        self._handle = ctypes.c_void_p(program.open_model(str(bundle).encode(), device.encode(), image))
        assert self._handle.value, program.last_error().decode()

    def predict(
        self, queries: NDArray[np.int64], k: int, known: bool, some: list[int] | None = None
    ) -> list[tuple[list[int], list[float]]]:
        """Ids and scores of each query."""
        count = len(queries)
        ids, scores = np.zeros((count, k), np.int64), np.zeros((count, k), np.float32)
        counts, candidates = np.zeros(count, np.int64), np.array(some or [], np.int64)
        given = (candidates.ctypes if some is not None else None, ctypes.c_int64(len(candidates)))
        outputs = [array.ctypes for array in (ids, scores, counts)]
        asked = (queries.ctypes, ctypes.c_int64(count), k, int(not known), *given, *outputs)
        assert self._program.predict(self._handle, *asked), self._program.last_error().decode()
        return [
            (row[:end].tolist(), of_row[:end].tolist()) for row, of_row, end in zip(ids, scores, counts, strict=True)
        ]

    def score(self, *triple: int) -> float:
        """Of a triple."""
        found = ctypes.c_float()
        assert self._program.score(self._handle, *map(ctypes.c_int64, triple), ctypes.byref(found))
        return found.value

    def add(self, label: str, width: int) -> NDArray[np.float32]:
        """The vector of a new entity."""
        vector = np.zeros((1, width), np.float32)
        assert self._program.add(self._handle, label.encode(), vector.ctypes), self._program.last_error().decode()
        return vector

    def close(self) -> None:
        self._program.close_model(self._handle)


def pythons(model: Model, queries: NDArray[np.int64], k: int, known: bool, some: list[int] | None = None) -> object:
    found = []
    for entity, relation, direction in queries.tolist():
        names = (entity, relation) if direction == TAIL else (relation, entity)
        ask = model.predict_tails if direction == TAIL else model.predict_heads
        (ranking,) = ask(*names, k, filter_known=not known, candidates=some)
        found.append((ranking.ids.tolist(), ranking.scores.tolist()))
    return found


@pytest.fixture(params=["mygo", "adamf_mat"])
def model(request: pytest.FixtureRequest, fake: FakeGpu) -> Iterator[Model]:
    bundle = Bundle.open(BUNDLES / request.param)
    with rows_multiplied_alike():
        yield Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)


def test_answers_are_those_of_python_on_the_same_device(model: Model, fake: FakeGpu, program: ctypes.CDLL) -> None:
    opened = OnGpu(program, model.bundle.path)
    launched = fake.driver.launches
    for k, known, some in ((3, False, None), (10, True, None), (2, False, [1, 4, 7])):
        # One by one as there: a GPU's last digits depend on the size of the batch.
        found = [opened.predict(QUERIES[i : i + 1], k, known, some)[0] for i in range(len(QUERIES))]
        assert found == pythons(model, QUERIES, k, known, some)
    assert fake.driver.launches > launched
    assert opened.score(3, 0, 7) == model.score_triples([3], [0], [7])[0]
    opened.close()


def test_more_answers_than_the_kernels_give_at_a_time_are_pythons(
    fake: FakeGpu, program: ctypes.CDLL, tmp_path: Path
) -> None:
    bundle = Bundle.open(random_bundle(tmp_path, "adamf_mat", 1200))
    some = list(range(1, 1200))
    with rows_multiplied_alike():
        model = Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)
        opened = OnGpu(program, bundle.path)
        for k, known, candidates in ((1200, True, None), (1100, False, some)):
            found = opened.predict(QUERIES[:1], k, known, candidates)
            assert found == pythons(model, QUERIES[:1], k, known, candidates)
            assert len(found[0][0]) > 1024
        opened.close()


def test_a_model_that_has_grown_answers_from_its_new_table(fake: FakeGpu, program: ctypes.CDLL) -> None:
    bundle = Bundle.open(BUNDLES / "mygo")
    with rows_multiplied_alike():
        model = Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)
        opened = OnGpu(program, bundle.path)
        vector = opened.add("new", model.table.shape[1])
        model._grow(["new"], [{"vectors": vector}], [])
        queries = np.array([[len(model.entities) - 1, 0, TAIL], [2, 1, HEAD]], np.int64)
        found = [opened.predict(queries[i : i + 1], 10, True)[0] for i in range(2)]
        assert found == pythons(model, queries, 10, True)
        opened.close()


def test_all_memory_is_given_back(fake: FakeGpu, program: ctypes.CDLL) -> None:
    held = fake.driver.memory_used
    with rows_multiplied_alike():
        for _ in range(2):
            opened = OnGpu(program, BUNDLES / "mygo")
            opened.predict(QUERIES, 3, False)
            opened.close()
    assert fake.driver.memory_used == held


@pytest.mark.parametrize(
    ("device", "said"), [("cuda:7", "device cuda:7 cannot be opened: "), ("gpu", "expected cpu, cuda or cuda:N")]
)
def test_another_device_is_refused(device: str, said: str, fake: FakeGpu, program: ctypes.CDLL) -> None:
    with pytest.raises(AssertionError, match=said):
        OnGpu(program, BUNDLES / "mygo", device)
