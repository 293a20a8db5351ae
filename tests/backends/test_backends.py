"""One suite for all backends: answers, closing, threads, processes, errors."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BackendError, BundleError, Model
from mmkg_sdk.backends import open_backend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.ranking.known_triples import Queries
from tests.attacks.reseal import change_manifest, reseal
from tests.backends.on_cpu import ON_CPU


@pytest.fixture(scope="module", params=ON_CPU)
def model(request: pytest.FixtureRequest, golden_bundle: Path) -> Iterator[Model]:
    with mmkg_sdk.load(golden_bundle, request.param, "cpu", threads=1) as opened:
        yield opened


def own_model(model: Model, folder: Path | None = None) -> Model:
    """Another model on the same backend, for a test that breaks it."""
    return mmkg_sdk.load(folder or model.bundle.path, model.backend.name, "cpu", threads=1)


def test_a_backend_says_what_it_is(model: Model) -> None:
    assert model.backend.name in ON_CPU
    assert model.backend.device == "cpu"
    assert model.backend.threads == 1
    assert model.backend.name in repr(model)


def test_all_backends_give_the_same_scores(model: Model, golden_bundle: Path) -> None:
    heads, relations = np.arange(40) % 40, np.arange(40) % 7
    with mmkg_sdk.load(golden_bundle, "torch", "cpu") as reference:
        expected = reference.score_tails(heads, relations)
    np.testing.assert_allclose(model.score_tails(heads, relations), expected, rtol=1e-5, atol=1e-5)


def test_the_answer_to_a_query_does_not_depend_on_its_batch(model: Model) -> None:
    heads, relations = np.arange(40), np.arange(40) % 7
    together = model.score_tails(heads, relations)
    for i in (0, 17, 39):
        np.testing.assert_allclose(model.score_tails(i, i % 7)[0], together[i], rtol=1e-5, atol=1e-5)


def test_an_unknown_graph_is_named_with_those_that_are_there(model: Model) -> None:
    with pytest.raises(BackendError, match=r"no graph 'scorer'; it has .*query_encoder"):
        model.backend.run("scorer", {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"relation": np.array([7])},  # there are 7
        {"entity": np.array([-5])},
        {"direction": np.array([2])},
        {"table": np.zeros((1, 31), np.float32)},
        {"entity": np.array([0.0])},
        {"entity": np.array([[0]])},
        {"more": np.array([0])},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{next(iter(wrong.values())).shape}",
)
def test_after_inputs_that_do_not_fit_the_next_call_works(model: Model, wrong: dict[str, np.ndarray]) -> None:
    right = {"table": model.table[:1], **dict.fromkeys(("entity", "relation", "direction"), np.zeros(1, np.int64))}
    with pytest.raises(BackendError, match="graph query_encoder failed on cpu with inputs"):
        model.backend.run("query_encoder", right | wrong)
    with pytest.raises(BackendError, match="graph query_encoder failed"):
        model.backend.run("query_encoder", {"table": right["table"]})
    assert model.backend.run("query_encoder", right)["queries"].shape == (1, 32)


def test_inputs_may_be_read_only_and_are_not_changed(model: Model) -> None:
    inputs = {name: np.zeros(1, np.int64) for name in ("entity", "relation", "direction")}
    inputs["table"] = model.table[:2].copy()
    before = {name: array.copy() for name, array in inputs.items()}
    for array in inputs.values():
        array.flags.writeable = False
    model.backend.run("query_encoder", inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_many_threads_on_one_model_each_get_their_own_rows(model: Model) -> None:
    expected = model.score_tails(np.repeat(np.arange(40), 7), np.tile(np.arange(7), 40)).reshape(40, 7, 40)

    def ask(number: int) -> bool:
        rng = np.random.default_rng(number)
        heads, relations = rng.integers(40, size=3), rng.integers(7, size=3)
        scores = model.score_tails(heads, relations)
        best = model.predict_tails(heads, relations, k=1, filter_known=False)
        np.testing.assert_allclose(scores, expected[heads, relations], rtol=1e-5, atol=1e-5)
        chosen = [ranking.ids[0] for ranking in best]
        found = expected[heads, relations, chosen]
        np.testing.assert_allclose(found, expected[heads, relations].max(axis=1), rtol=1e-5, atol=1e-5)
        return True

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(ask, range(1000)))


def test_an_error_of_one_thread_is_seen_by_that_thread_only(model: Model) -> None:
    def ask(number: int) -> str:
        try:
            return f"{len(model.predict_tails(number, 0, k=2)[0])} answers"
        except mmkg_sdk.QueryError:
            return "error"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, [0, 99] * 20))
    assert found == ["2 answers", "error"] * 20


def test_a_closed_model_refuses_calls_and_can_be_closed_again(model: Model) -> None:
    closed = own_model(model)
    closed.close()
    closed.close()
    for call in (
        lambda: closed.predict_tails(0, 0),
        lambda: closed.score_triples(0, 0, 1),
        lambda: closed.encode_entities(visual_tokens=[[1]], text_tokens=[[1]]),
    ):
        with pytest.raises(BackendError, match=r"this model is closed. Load the bundle again."):
            call()


def test_closing_lets_running_calls_finish(model: Model) -> None:
    closing = own_model(model)
    expected = closing.score_tails(np.arange(40), 0)
    wrong: list[BaseException] = []
    started = threading.Barrier(5)

    def ask_until_closed() -> None:
        started.wait()
        try:
            while True:
                np.testing.assert_allclose(closing.score_tails(np.arange(40), 0), expected, rtol=1e-5, atol=1e-5)
        except BackendError:
            pass
        except BaseException as err:
            wrong.append(err)

    threads = [threading.Thread(target=ask_until_closed) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    closing.close()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_after_a_fork_the_child_gets_an_error_and_the_parent_goes_on(model: Model) -> None:
    expected = model.score_tails(0, 0)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            model.predict_tails(0, 0)
            answer = "no error"
        except BackendError as err:
            answer = str(err)
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert f"loaded by process {os.getpid()} and came to process {child} by a fork" in answer
    np.testing.assert_array_equal(model.score_tails(0, 0), expected)


def best_tail(model: Model) -> str:
    return model.predict_tails(0, 0, k=1)[0].labels[0]


def test_a_spawned_process_gets_a_working_model(model: Model) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(best_tail, (model,)) == best_tail(model)


def test_pickling_carries_the_path_the_options_and_added_entities_but_no_weights(model: Model) -> None:
    grown = own_model(model)
    grown.add_entities(["one more"], visual_tokens=[[1, 2]], text_tokens=[[3]])
    pickled = pickle.dumps(grown)
    assert len(pickled) < 2_000
    again = pickle.loads(pickled)
    assert again.bundle.path.is_absolute()
    assert (again.backend.name, again.backend.device, again.backend.threads) == (model.backend.name, "cpu", 1)
    assert again.entities == grown.entities
    np.testing.assert_array_equal(again.table, grown.table)
    np.testing.assert_allclose(again.score_tails("one more", 0), grown.score_tails("one more", 0), rtol=1e-5)


def test_a_replaced_bundle_does_not_mix_with_a_loaded_one(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(model.bundle.path, folder)
    loaded = own_model(model, folder)
    expected = loaded.score_tails(np.arange(40), 0)
    shutil.copytree(folder, tmp_path / "new")
    folder.rename(tmp_path / "old")
    (tmp_path / "new").rename(folder)
    np.testing.assert_array_equal(loaded.score_tails(np.arange(40), 0), expected)
    (folder / "weights.safetensors").write_bytes(b"of another model")
    np.testing.assert_array_equal(
        loaded.encode_entities(visual_tokens=[[1]], text_tokens=[[3]]),
        model.encode_entities(visual_tokens=[[1]], text_tokens=[[3]]),
    )


def test_a_loaded_model_outlives_its_folder(model: Model, tmp_path: Path) -> None:
    shutil.copytree(model.bundle.path, tmp_path / "bundle")
    loaded = own_model(model, tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle")
    np.testing.assert_allclose(loaded.score_tails(3, 0), model.score_tails(3, 0), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ON_CPU)
def test_weights_that_overflow_are_an_error_that_names_graph_and_precision(
    backend: str, golden_bundle: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    weights = load_file(folder / "weights.safetensors")
    for name in weights:
        if name.endswith("rest.norm2.weight"):
            weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, folder / "weights.safetensors")
    reseal(folder)
    with mmkg_sdk.load(folder, backend, "cpu") as model:
        for call in (lambda: model.predict_tails(0, 0), lambda: model.score_triples(0, 0, 1)):
            with pytest.raises(BackendError, match="query_encoder in fp32 gave NaN or infinity on cpu"):
                call()


@pytest.mark.parametrize("change", ["missing", "unknown", "misshapen", "garbage"])
def test_weights_that_do_not_fit_are_refused_by_torch(change: str, golden_bundle: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    weights = load_file(folder / "weights.safetensors")
    name = "query_encoder.relations"
    if change == "missing":
        del weights[name]
    elif change == "unknown":
        weights["query_encoder.surprise"] = np.zeros(3, np.float32)
    else:
        weights[name] = np.zeros((7, 31), np.float32)
    save_file(weights, folder / "weights.safetensors")
    if change == "garbage":
        (folder / "weights.safetensors").write_bytes(b"\xff" * 300_000)
    reseal(folder)
    with pytest.raises(
        BundleError,
        match=r"weights\.safetensors(, which ends| does not fit|: query_enc| is not a valid)",
    ):
        mmkg_sdk.load(folder, "torch", "cpu")


@pytest.mark.parametrize(
    "size", ["text_codebook_rows", "text_codebook_width", "feedforward_dim", "num_entity_layers", "num_decoder_layers"]
)
def test_a_configuration_beyond_its_weights_takes_no_memory(size: str, golden_bundle: Path, tmp_path: Path) -> None:
    """Sizes that would take terabytes: refused before anything is allocated, or of no consequence (the width)."""
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    change_manifest(folder, lambda manifest: manifest["config"].update({size: 10**11}))
    try:
        mmkg_sdk.load(folder, "torch", "cpu").close()
    except BundleError:
        return
    assert size == "text_codebook_width"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tpu"}, "unknown backend 'tpu'; expected 'auto' or one of onnxruntime, torch"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x'"),
        ({"device": "cpu:1"}, "unknown device 'cpu:1'"),
        ({"threads": 0}, "threads is 0; expected a whole number of at least 1"),
        ({"threads": -1}, "threads is -1"),
        ({"threads": True}, "threads is True"),
        ({"threads": 1.5}, "threads is 1.5"),
    ],
)
@pytest.mark.parametrize("backend", ON_CPU)
def test_an_unknown_option_is_refused(
    backend: str, options: dict[str, object], message: str, golden_bundle: Path
) -> None:
    with pytest.raises(BackendError, match=message):
        mmkg_sdk.load(golden_bundle, **({"backend": backend} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ON_CPU)
def test_a_gpu_that_is_not_there_is_an_error_and_not_the_cpu(backend: str, golden_bundle: Path) -> None:
    import onnxruntime
    import torch

    if torch.cuda.is_available() or "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has a GPU")
    with pytest.raises(BackendError, match="device 'cuda' asked for"):
        mmkg_sdk.load(golden_bundle, backend, "cuda")


def test_a_graph_that_does_not_open_is_tried_once(golden_bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = Bundle.open(golden_bundle)
    graph = bytes(bundle.files["query_encoder.onnx"]).replace(b"MatMul", b"MatMu\xe1")  # no UTF-8
    backend = open_backend(
        replace(bundle, files={**bundle.files, "query_encoder.onnx": memoryview(graph)}), "onnxruntime"
    )
    with pytest.raises(BackendError, match=r"query_encoder\.onnx could not be opened on cpu"):
        backend.run("query_encoder", {})
    assert "Falling back" not in capfd.readouterr().out


def test_auto_takes_a_backend_that_can_run_the_precision(golden_bundles, golden_bundle: Path) -> None:  # type: ignore[no-untyped-def]
    bf16 = golden_bundles("db15k_like", "bf16")
    with mmkg_sdk.load(golden_bundle, device="cpu") as model:
        assert model.backend.name == "onnxruntime"
    for device in ("cpu", "auto"):
        with mmkg_sdk.load(bf16, device=device) as model:
            assert model.backend.name == ("torch" if model.backend.device == "cpu" else "onnxruntime")
    with pytest.raises(BackendError, match=r"no bf16 matrix product on the CPU. Pass backend='torch'"):
        mmkg_sdk.load(bf16, "onnxruntime", "cpu")


def test_a_session_opens_once_however_many_threads_ask_first(golden_bundle: Path) -> None:
    backend = open_backend(Bundle.open(golden_bundle), "onnxruntime", "cpu", 1)
    zeros = np.zeros(1, np.int64)
    with ThreadPoolExecutor(16) as pool:
        runs = [
            pool.submit(backend.run, "complete", {"entity": zeros, "relation": zeros, "direction": zeros})
            for _ in range(16)
        ]
        answers = {tuple(run.result()["ids"][0]) for run in runs}
    assert len(answers) == 1
    assert len(backend._opened or ()) == 1  # type: ignore[attr-defined]


def test_memory_does_not_grow_with_the_number_of_pairs(golden_bundle: Path) -> None:
    """20,000 queries against 20,000 candidates: a score matrix would take 1.6 GB."""
    code = f"""
import resource, numpy as np, mmkg_sdk
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.answering.entity_table import EntityTable
model = mmkg_sdk.load({str(golden_bundle)!r}, "onnxruntime", "cpu", threads=1)
table = np.random.default_rng(0).standard_normal((20_000, 32), dtype=np.float32)
labels = Labels([*model.entities, *map(str, range(40, 20_000))])
model._entities = EntityTable.of(labels, dict(vectors=table), model._score, model.backend)
model.predict_tails(np.zeros(300, np.int64), 0, k=10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = model.predict_tails(np.arange(20_000), np.arange(20_000) % 7, k=10)
assert len(found) == 20_000 and len(found[19_999]) == 10
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 150  # MiB


def test_many_calls_do_not_grow_the_memory(model: Model) -> None:
    import resource

    def ask(times: int) -> int:
        for _ in range(times):
            model.query_vectors(Queries(np.arange(40), np.zeros(40, np.int64), np.zeros(40, np.int64)))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = ask(200)
    assert ask(2000) - before < 8 * 1024  # KiB
