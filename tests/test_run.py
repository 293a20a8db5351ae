"""The run folder: what is written is read back, and what is wrong with it is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk.data.graph import KnowledgeGraph
from mmkg_sdk.errors import DataError
from mmkg_sdk.families.link_prediction import link_prediction_data
from mmkg_sdk.files.labels import Labels
from mmkg_sdk.run import Run

GRAPH = KnowledgeGraph(
    name="small",
    entities=Labels(["Oslo", "Norway", "Ålesund"]),
    relations=Labels(["capital of"], kind="relation"),
    train=np.array([[0, 0, 1]]),
    valid=np.array([[2, 0, 1]]),
    test=np.empty((0, 3), dtype=np.int64),
)
INPUTS = {"visual_tokens": np.arange(12).reshape(3, 4)[:, ::2], "visual_mask": np.array([[True, False]] * 3)}
WEIGHTS = {
    "a.weight": torch.arange(6.0).reshape(2, 3).T,
    "steps": torch.tensor(3),
    "half": torch.ones(2).half(),
}


def new_run(folder: Path, **options: Any) -> Run:
    values: dict[str, Any] = {"family": "mygo", "config": {"num_heads": 2}, "data": link_prediction_data(GRAPH, INPUTS)}
    return Run.create(folder, **(values | options))


def test_what_is_created_is_opened(tmp_path: Path) -> None:
    new_run(tmp_path / "deep" / "run", settings={"epochs": 3}, source={"data": "DB15K"})
    run = Run.open(str(tmp_path / "deep" / "run"))
    assert (run.family, run.config, run.settings, run.source) == (
        "mygo",
        {"num_heads": 2},
        {"epochs": 3},
        {"data": "DB15K"},
    )
    assert run.versions["numpy"] == np.__version__
    assert (run.graph.name, run.graph.entities, run.graph.relations) == (
        "small",
        GRAPH.entities,
        GRAPH.relations,
    )
    assert run.graph.relations.kind == "relation"
    for split in ("train", "valid", "test"):
        assert np.array_equal(run.graph.split(split), GRAPH.split(split))
    assert run.inputs.keys() == INPUTS.keys()
    for name, array in INPUTS.items():
        assert run.inputs[name].dtype == array.dtype
        assert np.array_equal(run.inputs[name], array)


def test_weights_survive_with_dtype_and_shape(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    assert not run.has_weights
    run.save_weights(WEIGHTS)
    assert Run.open(run.folder).has_weights
    found = run.weights()
    assert found.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_tied_and_trained_weights_are_written_under_both_names(tmp_path: Path) -> None:
    shared = torch.nn.Parameter(torch.rand(2, 2))
    run = new_run(tmp_path / "run")
    run.save_weights({"input": shared, "output": shared, "part": shared[0]})
    assert torch.equal(run.weights()["output"], shared)
    assert torch.equal(run.weights()["part"], shared[0])


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.save_weights({"good": torch.ones(2), "bad.bias": torch.tensor([1.0, float("nan"), float("inf")])})
    with pytest.raises(DataError, match=r"tensor 'bad\.bias' holds 2 values that are not finite, of 3"):
        run.weights()


def test_absent_weights_say_that_training_is_not_far_enough(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no weights\.safetensors"):
        new_run(tmp_path / "run").weights()


def test_a_run_is_not_overwritten_unless_asked_for(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.save_weights(WEIGHTS)
    with pytest.raises(DataError, match="holds a run already"):
        new_run(tmp_path / "run")
    assert run.has_weights
    assert not new_run(tmp_path / "run", overwrite=True).has_weights
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_or_file_that_is_not_a_run_is_never_overwritten(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_bytes(b"text")
    for name in ("photos", "file"):
        with pytest.raises(DataError, match=f"{name} (is a file; a run is a folder|holds something that is no run)"):
            new_run(tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == b"cat"
    assert (tmp_path / "file").read_bytes() == b"text"


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert Run.open(new_run(tmp_path / "run").folder).family == "mygo"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"family": "yougo"}, "unknown family 'yougo'"),
        ({"config": {"rate": float("nan")}}, "cannot be described in JSON"),
        ({"source": {"path": Path("x")}}, "cannot be described in JSON"),
    ],
)
def test_a_run_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        new_run(tmp_path / "run", **options)
    assert os.listdir(tmp_path) == []


def test_a_folder_without_run_json_is_not_a_run(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match=r"is not a run: it has no run\.json"):
            Run.open(folder)


@pytest.mark.parametrize("name", ["entities.txt", "relations.txt", "triples.safetensors", "inputs.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = new_run(tmp_path / "run").folder
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"has no {name}; the run is incomplete"):
        Run.open(folder)


@pytest.mark.parametrize("name", ["triples.safetensors", "inputs.safetensors", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0, 4, 30, -1])
def test_a_truncated_tensor_file_is_named(tmp_path: Path, name: str, kept: int) -> None:
    run = new_run(tmp_path / "run")
    run.save_weights(WEIGHTS)
    path = run.folder / name
    path.write_bytes(path.read_bytes()[:kept])
    opened = Run.open(run.folder)
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        _ = opened.graph, opened.inputs, opened.weights()


def test_a_header_that_claims_more_bytes_than_the_file_has_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    (run.folder / "inputs.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(DataError, match=r"inputs\.safetensors cannot be read"):
        _ = Run.open(run.folder).inputs


def test_every_truncation_of_run_json_is_an_error(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run").folder
    content = (folder / "run.json").read_bytes()
    for length in range(len(content) - 2):
        (folder / "run.json").write_bytes(content[:length])
        with pytest.raises(DataError, match=r"run\.json"):
            Run.open(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 1}, "format version 1; this version of mmkg_sdk reads 2"),
        ({"format_version": "2"}, "format version '2'"),
        ({"format_version": True}, "format version True"),
        ({"family": "yougo"}, r"run\.json: unknown family 'yougo'"),
        ({"family": ["mygo"]}, "'family' is"),
        ({"config": None}, "'config' is None"),
        ({"data": 3}, "'data' is 3"),
        ({"labels": ["../entities"]}, "names a file '../entities'"),
        ({"files": [7]}, "names a file 7"),
        ({"settings": 7}, "'settings' is 7"),
    ],
)
def test_an_altered_run_json_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = new_run(tmp_path / "run").folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        Run.open(path.parent)


@pytest.mark.parametrize("content", ["[]", "null", "3", "{}", '{"family": "mygo"}', "[" * 100_000])
def test_json_that_does_not_describe_a_run_is_refused(tmp_path: Path, content: str) -> None:
    path = new_run(tmp_path / "run").folder / "run.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"run\.json"):
        Run.open(path.parent)


def test_run_json_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = new_run(tmp_path / "run").folder / "run.json"
    path.write_bytes(b'{"format_version": 2, "family": "\xff"}')
    with pytest.raises(DataError, match=r"run\.json"):
        Run.open(path.parent)


def test_triples_that_point_outside_the_labels_are_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    (run.folder / "entities.txt").write_text("Oslo\nNorway\n")
    with pytest.raises(DataError, match="there are 2 entities"):
        _ = Run.open(run.folder).graph


def test_triples_under_other_names_are_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    (run.folder / "inputs.safetensors").rename(run.folder / "triples.safetensors")
    (run.folder / "inputs.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"triples\.safetensors holds .*; expected"):
        _ = Run.open(run.folder).graph


def test_opening_a_run_needs_no_torch(tmp_path: Path) -> None:
    folder = new_run(tmp_path / "run").folder
    program = (
        "import sys; from mmkg_sdk.run import Run; run = Run.open(sys.argv[1]); run.graph, run.inputs\n"
        "import mmkg_sdk.training; mmkg_sdk.training.TrainingSettings()\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program, str(folder)], env=environment, check=True, timeout=60)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format_version": 2, "config": {"dropout": 1' + "0" * 400 + "}}", "a number is longer than 64 bits"),
        ('{"format_version": 2, "config": {"dropout": 1e999}}', "a number is infinite"),
        ('{"format_version": 2, "data": "\\ud800"}', "half of a surrogate pair"),
        ('{"format_version": 2, "format_version": 2}', "stands there twice"),
        ('{"format_version": 2, "config": {"dropout": NaN}}', "NaN is not JSON"),
        (" " * (1 << 20) + "{}", "it has more than 1 MiB"),
    ],
)
def test_numbers_and_texts_that_nobody_can_use_are_refused(tmp_path: Path, content: str, message: str) -> None:
    new_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Run.open(tmp_path / "run")
