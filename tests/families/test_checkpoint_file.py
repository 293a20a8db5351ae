"""Checkpoint files: every family reads the same wrappings, and what is no checkpoint is said to be what it is."""

from __future__ import annotations

import argparse
import gzip
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmkg_sdk.errors import ExportError
from mmkg_sdk.families import contract
from mmkg_sdk.families.checkpoint_file import read_state
from tests.places import GOLDEN

# A golden case for each family, and which of its tensors the tests below spoil.
CASES = {
    "mygo": ("inner_score", "rel_embeddings"),
    "adamf_mat": ("db15k_like", "ent_attn.weight"),
    "mimic": ("base", "matcher.tglu.fc_key.weight"),
    "mkgformer": ("mre_small", "classifier.weight"),
}
every_family = pytest.mark.parametrize("family", CASES)
State = dict[str, torch.Tensor]


def state_of(family: str) -> State:
    return contract.checkpoint_part(family).read_checkpoint(GOLDEN / family / CASES[family][0] / "checkpoint.pt")


def read(family: str, content: Any, folder: Path, **options: Any) -> State:
    path = folder / "model.ckpt"
    torch.save(content, path, **options)
    return contract.checkpoint_part(family).read_checkpoint(path)


def same(found: State, expected: State) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def renamed(prefix: str) -> Callable[[State], Any]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": dict,
    "state_dict": lambda state: {"state_dict": state},
    "model": lambda state: {"model": state, "epoch": 3},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    "nested": lambda state: {"model": {"state_dict": state}},
    "DataParallel": renamed("module."),
    "torch.compile": renamed("_orig_mod."),
    "both": lambda state: {"state_dict": renamed("_orig_mod.module.")(state)},
    "within": lambda state: {f"{name.partition('.')[0]}._orig_mod.{name.partition('.')[2]}".removesuffix("._orig_mod."):
                             tensor for name, tensor in state.items()},
    "foreign objects beside": lambda state: {
        "state_dict": state,
        "args": argparse.Namespace(lr=1e-3, seed=np.int64(3)),
        "best": np.float64(0.5),
        "history": np.arange(3),
        "objects": np.array([{}], dtype=object),
    },
    "foreign objects within": lambda state: {**state, "args": argparse.Namespace(lr=1e-3), "epoch": np.int64(3)},
}  # fmt: skip


@every_family
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_every_wrapping_is_read_alike(family: str, wrapping: str, tmp_path: Path) -> None:
    state = state_of(family)
    assert same(read(family, WRAPPINGS[wrapping](state), tmp_path), state)


@every_family
def test_safetensors_and_the_format_before_torch_1_6_are_read(family: str, tmp_path: Path) -> None:
    state = state_of(family)
    assert same(read(family, state, tmp_path, _use_new_zipfile_serialization=False), state)
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    assert same(contract.checkpoint_part(family).read_checkpoint(tmp_path / "model.safetensors"), state)


@every_family
def test_half_precision_is_read_as_float32(family: str, tmp_path: Path) -> None:
    state = {n: t.half() if t.is_floating_point() else t for n, t in state_of(family).items()}
    found = read(family, state, tmp_path)
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in found.values())


HUGE_AND_SPARSE = torch.sparse_coo_tensor([[0]], [1.0], (10**10,), check_invariants=True)
ODD: dict[str, tuple[Any, str]] = {
    "a number": (3, "is int, expected a tensor"),
    "a dict": ({"weight": torch.zeros(2)}, "is dict, expected a tensor"),
    "an array": (np.zeros(3), "is _reconstruct, expected a tensor"),
    "an array of objects": (np.array([{}], dtype=object), "is _reconstruct, expected a tensor"),
    "sparse": (torch.zeros(2, 3).to_sparse(), "is sparse"),
    "huge and sparse": (HUGE_AND_SPARSE, "is sparse"),
    "meta": (torch.empty(10**10, device="meta"), "is on the device meta, without values"),
    "a view of one value": (torch.zeros(1).expand(10**10), "claims 40,000,000,000 bytes, of which the file holds 4"),
    "complex": (torch.zeros(3, dtype=torch.complex64), r"is torch\.complex64"),
    "eight bits": (torch.zeros(3).to(torch.float8_e4m3fn), r"is torch\.float8_e4m3fn"),
    "too large for float32": (torch.full((3,), 1e300, dtype=torch.float64), "holds NaN or infinite values"),
}  # fmt: skip


@every_family
@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_ordinary_tensor_is_named(family: str, kind: str, tmp_path: Path) -> None:
    name = CASES[family][1]
    value, message = ODD[kind]
    with pytest.raises(ExportError, match=rf"{name} {message}"):
        read(family, {"state_dict": state_of(family) | {name: value}}, tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch is about to drop these tensors
def test_a_quantised_tensor_is_named(tmp_path: Path) -> None:
    value = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    with pytest.raises(ExportError, match=r"ent_attn\.weight is quantised; expected an ordinary tensor\. Save"):
        read("adamf_mat", state_of("adamf_mat") | {"ent_attn.weight": value}, tmp_path)


@every_family
def test_whole_numbers_are_not_taken_for_weights(family: str, tmp_path: Path) -> None:
    state, name = state_of(family), CASES[family][1]
    found = read(family, state | {name: torch.ones_like(state[name], dtype=torch.int8)}, tmp_path)
    with pytest.raises(ExportError, match=rf"{name} holds torch\.int8, expected torch\.float32"):
        contract.checkpoint_part(family).check_state(found, state)


@every_family
def test_a_name_that_is_no_text_is_shown(family: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"expected a dict of tensors by name, found one under 1 \(int\)"):
        read(family, {"state_dict": state_of(family) | {1: torch.zeros(2)}}, tmp_path)


@every_family
def test_two_models_in_one_file_are_not_chosen_from(family: str, tmp_path: Path) -> None:
    state, name = state_of(family), CASES[family][1]
    with pytest.raises(ExportError, match="holds several models: state_dict, model"):
        read(family, {"model": state, "state_dict": state}, tmp_path)
    with pytest.raises(ExportError, match=f"holds {name} several times, once as module.{name}"):
        read(family, state | {f"module.{name}": state[name]}, tmp_path)


def test_a_whole_model_is_no_state_dict(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ExportError, match=r"expected a dict of tensors by name, found Linear\. Save model\.state_dict"):
        read_state(tmp_path / "model.pt")


def zipped(*names: str, compressed: bool = False) -> bytes:
    import io

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name in names:
            archive.writestr(name, bytes(10**6))
    return content.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty: the download or the copy did not finish"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "pointer of Git LFS"),
    "a web page": (b"\n<!DOCTYPE html><title>Sign in</title>", "is a web page, not a checkpoint"),
    "an error in XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "is a web page"),
    "gzip": (gzip.compress(b"model"), r"is an archive \(gzip\). Unpack it"),
    "another zip": (zipped("a/notes.txt"), r"is a zip archive of other files \(notes.txt\)"),
    "a program": (zipped("a/data.pkl", "a/constants.pkl"), "is a TorchScript program"),
    "a bomb": (zipped("a/data.pkl", "a/data/0", compressed=True), "claims to unpack to 2,000,000"),
    "text": (b"not a checkpoint", "not a tensor-only torch checkpoint"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_checkpoint_is_said_to_be_what_it_is(kind: str, tmp_path: Path) -> None:
    content, message = FILES[kind]
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(ExportError, match=message) as caught:
        read_state(tmp_path / "model.ckpt")
    assert "weights_only" not in str(caught.value), "torch's advice is to load it all the same"


def test_a_folder_and_a_cut_safetensors_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is a folder; expected the checkpoint file"):
        read_state(tmp_path)
    save_file({"a": torch.zeros(100)}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:200])
    with pytest.raises(ExportError, match="is no safetensors file, or is cut off"):
        read_state(tmp_path / "model.safetensors")


def test_a_file_that_names_what_runs_code_is_refused_as_a_whole(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            import subprocess

            return subprocess.Popen, (["mkdir", str(tmp_path / "exploded")],)

    torch.save({"state_dict": {"a": torch.zeros(2)}, "args": Bomb()}, tmp_path / "model.pt")
    with pytest.raises(ExportError, match=r"names commands\.Popen, which runs code"):
        read_state(tmp_path / "model.pt")
    assert os.listdir(tmp_path) == ["model.pt"]
