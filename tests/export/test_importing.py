"""Importing: what is wrong with a checkpoint, its settings or its inputs is named, and no code in it runs."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk import DataError, ExportError, MmkgError
from mmkg_sdk.export import import_checkpoint
from mmkg_sdk.run import Run
from tests.data.folders import write_files
from tests.places import GOLDEN


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A copy of a golden case that a test may spoil."""
    folder = tmp_path / "case"
    shutil.copytree(GOLDEN / "mygo" / "inner_score", folder)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


def do_import(case: Path, **options: Any) -> Run:
    files = {"inputs": case / "inputs.npz", "config": case / "config.json"}
    return import_checkpoint("mygo", case / "checkpoint.pt", case.parent / "run", **(files | options))


def refused(case: Path, message: str, kind: type[MmkgError] = ExportError, **options: Any) -> None:
    with pytest.raises(kind, match=message):
        do_import(case, **options)
    assert os.listdir(case.parent) == ["case"], "nothing was written"


def change_state(case: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    content = torch.load(case / "checkpoint.pt", weights_only=True)
    change(content["model_state_dict"])
    torch.save(content, case / "checkpoint.pt")


def change_inputs(case: Path, **arrays: Any) -> None:
    with np.load(case / "inputs.npz") as file:
        fields = dict(file) | arrays
    np.savez(case / "inputs.npz", **{name: array for name, array in fields.items() if array is not None})


def change_config(case: Path, **options: Any) -> None:
    path = case / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))


def test_the_good_case_is_imported(case: Path) -> None:
    run = do_import(case)
    assert run.config["score_function"] == "inner"
    digest = hashlib.sha256((case / "checkpoint.pt").read_bytes()).hexdigest()
    assert run.source == {"checkpoint": "checkpoint.pt", "sha256": digest, "data": "case", "inputs": "inputs.npz"}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_checkpoint_is_refused_and_does_not_run(case: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(case / "exploded"),)

    for save in (lambda o: torch.save({"model_state_dict": o}, case / "checkpoint.pt"),
                 lambda o: (case / "checkpoint.pt").write_bytes(pickle.dumps({"model_state_dict": o}))):  # fmt: skip
        save({"ent_embeddings": Bomb()})
        refused(case, "not a tensor-only torch checkpoint .* which are never loaded")
    assert not (case / "exploded").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"\x80\x04N.", bytes(range(256)) * 50, b"not a checkpoint"], ids=repr
)
def test_a_file_that_is_no_checkpoint_is_named(case: Path, data: bytes) -> None:
    (case / "checkpoint.pt").write_bytes(data[:600])
    refused(case, r"checkpoint.pt(: not a tensor-only torch checkpoint|: expected a dict| is empty| is cut off)")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_named(case: Path, kept: float) -> None:
    data = (case / "checkpoint.pt").read_bytes()
    (case / "checkpoint.pt").write_bytes(data[: int(len(data) * kept)])
    refused(case, "checkpoint.pt is cut off or damaged")


def test_a_missing_checkpoint_is_named(case: Path) -> None:
    (case / "checkpoint.pt").unlink()
    refused(case, "checkpoint.pt: no such file")


def test_a_checkpoint_of_something_else_is_named(case: Path) -> None:
    torch.save({"state": 1}, case / "checkpoint.pt")
    refused(case, r"holds no tensors")
    torch.save({"model_state_dict": {"linear.weight": torch.zeros(2, 2)}}, case / "checkpoint.pt")
    refused(case, "not a checkpoint of MyGO: tensor visual_token_embedding.weight is missing")
    torch.save({"model_state_dict": {"linear.weight": "text"}}, case / "checkpoint.pt")
    refused(case, "linear.weight is str, expected a tensor")


def test_a_missing_tensor_is_named_with_its_shape(case: Path) -> None:
    change_state(case, lambda state: state.pop("proj_ent_vis.weight"))
    refused(case, r"proj_ent_vis.weight is missing \(expected \[\d+, \d+\]\)")


def test_an_unknown_tensor_is_named(case: Path) -> None:
    change_state(case, lambda state: state.update(surprise=torch.zeros(3)))
    refused(case, "surprise is unknown")


def test_a_transposed_weight_is_named_with_both_shapes(case: Path) -> None:
    def transpose(state: dict[str, torch.Tensor]) -> None:
        state["ent_encoder.layers.0.linear2.weight"] = state["ent_encoder.layers.0.linear2.weight"].T.contiguous()

    change_state(case, transpose)
    refused(case, r"linear2.weight has shape \[(\d+), (\d+)\], expected \[\2, \1\]")


def test_only_the_first_of_many_differences_are_listed(case: Path) -> None:
    def drop(state: dict[str, torch.Tensor]) -> None:
        for name in [name for name in state if name.startswith("decoder.layers.0.")][1:]:
            del state[name]

    change_state(case, drop)
    refused(case, r"is missing .*; .* \(and \d+ more\)")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(case: Path, value: float) -> None:
    change_state(case, lambda state: state["rel_embeddings"].fill_(value))
    refused(case, "rel_embeddings holds NaN or infinite values; this training has diverged")


def test_a_tensor_of_another_rank_is_named(case: Path) -> None:
    change_state(case, lambda state: state.update(ent_embeddings=state["ent_embeddings"][:, 0]))
    refused(case, r"tensor ent_embeddings has shape \[\d+, \d+\]; expected 3 axes")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_head": 997}, "is not a multiple of num_heads 997"),
        ({"num_head": 0}, "num_heads is 0; expected a whole number"),
        ({"num_head": "2"}, "num_heads is '2'"),
        ({"dropout": 1.5}, "dropout is 1.5; a dropout rate lies in"),
        ({"mu": float("nan")}, "contrastive_weight is nan"),
    ],
)
def test_a_setting_that_makes_no_model_is_named(case: Path, options: dict[str, Any], message: str) -> None:
    change_config(case, **options)
    refused(case, message)


def test_an_unknown_setting_is_named(case: Path) -> None:
    refused(case, "number_of_heads", settings={"number_of_heads": 2})


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"a": '])
def test_a_config_that_is_no_json_object_is_named(case: Path, text: str) -> None:
    (case / "config.json").write_bytes(text.encode("latin-1"))
    refused(case, r"config.json (is not a readable JSON file|holds a list)")


def test_inputs_that_are_no_npz_are_named(case: Path) -> None:
    good = (case / "inputs.npz").read_bytes()
    for data in (b"", b"PK", good[: len(good) // 2], b"\x93NUMPY", b"text"):
        (case / "inputs.npz").write_bytes(data)
        refused(case, "inputs.npz is not an .npz file without pickles")
    np.save(case / "inputs.npy", np.zeros(3))
    refused(case, "inputs.npy is not an .npz file", inputs=case / "inputs.npy")
    refused(case, "absent.npz is not an .npz file", inputs=case / "absent.npz")
    np.savez(case / "inputs.npz", visual_token_index=np.array([{}], dtype=object))
    refused(case, "inputs.npz is not an .npz file without pickles")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"visual_mask": None}, "has no array 'visual_mask'"),
        ({"visual_token_index": np.zeros(3, np.int64)}, r"visual_token_index is int64 \[3\]; expected two axes"),
        ({"visual_token_index": np.zeros((24, 3))}, "visual_token_index is float64 .* of integers"),
        ({"text_mask": np.zeros((24, 3), np.int64)}, "text_mask is int64 .* of booleans"),
        ({"train_triples": np.zeros((3, 3))}, "train_triples is float64"),
        ({"train_triples": np.full((1, 3), 10**6)}, "does not fit the checkpoint: .* triple 0"),
        ({"test_triples": np.zeros((2, 4), np.int64)}, "does not fit the checkpoint"),
        ({"text_token_index": np.full((1, 3), 10**6)}, r"text tokens are \[1, 3\] with ids 1000000 to"),
        ({"text_token_index": np.zeros((0, 3), np.int64)}, r"text tokens are \[0, 3\] with no ids"),
        ({"text_mask": np.zeros((1, 1), bool)}, r"text mask is \[1, 1\], its tokens are"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_inputs_that_do_not_fit_are_named(case: Path, arrays: dict[str, Any], message: str) -> None:
    change_inputs(case, **arrays)
    refused(case, message)


def test_tokens_of_another_integer_type_are_taken(case: Path) -> None:
    with np.load(case / "inputs.npz") as file:
        change_inputs(case, visual_token_index=file["visual_token_index"].astype(np.int16))
    assert do_import(case).inputs["visual_tokens"].dtype == np.int64


def test_a_negative_token_is_named(case: Path) -> None:
    with np.load(case / "inputs.npz") as file:
        tokens = file["visual_token_index"].copy()
    tokens[3, 1] = -1
    change_inputs(case, visual_token_index=tokens)
    refused(case, "visual tokens are .* with ids -1 to")


def test_either_data_or_inputs_are_needed(case: Path) -> None:
    refused(case, "pass either a data set", inputs=None)
    refused(case, "pass either a data set", data="atlas")


def test_a_data_set_of_other_sizes_is_refused(case: Path) -> None:
    refused(case, "the checkpoint has .* entities and .* relations, the data set", inputs=None, data="atlas")


def test_an_unknown_family_is_named(case: Path) -> None:
    with pytest.raises(MmkgError, match="unknown family 'transe'"):
        import_checkpoint("transe", case / "checkpoint.pt", case.parent / "run", inputs=case / "inputs.npz")


@pytest.mark.parametrize(("ours", "theirs"), [("num_heads", "num_head"), ("num_text_tokens", "num_txt_token")])
def test_what_no_tensor_tells_must_be_given(case: Path, ours: str, theirs: str) -> None:
    options = json.loads((case / "config.json").read_text())
    del options[theirs]
    (case / "config.json").write_text(json.dumps(options))
    refused(case, f"--set {ours}=")


def test_a_checkpoint_is_not_given_to_names_without_ids(case: Path, tmp_path: Path) -> None:
    data = {f"{split}.txt": "c\tr\tb\nb\ts\ta\n" for split in ("train", "valid", "test")}
    folder = write_files(tmp_path / "case" / "set", data)
    refused(
        case, r"checkpoint.pt \(row number = id\) goes by the ids of the entities", DataError, inputs=None, data=folder
    )
    write_files(folder, {"entities.txt": "a\nb\nc\n"})
    refused(case, r"goes by the ids of the relations, .* Add relations.txt", DataError, inputs=None, data=folder)
    write_files(folder, {"relations.dict": "0\tr\n1\ts\n"})
    refused(case, r"the checkpoint has .* entities and .* relations, the data set", inputs=None, data=folder)
