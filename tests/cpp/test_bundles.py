"""The same hostile bundles to C++ as to Python: what one refuses, the other does."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from mmkg_sdk import BundleError
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.version import __version__
from tests.attacks import content_attacks, manifest_attacks, onnx_attacks
from tests.attacks.reseal import change_manifest, reseal
from tests.cpp.conftest import Ask
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"
ATTACKS: dict[str, tuple[Callable[[Path], Any], bool]]
ATTACKS = {spoil.__name__: (spoil, False) for spoil, _ in manifest_attacks.ATTACKS}
ATTACKS |= {name: (spoil, True) for name, spoil, _ in content_attacks.ATTACKS}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released bundle with the seal and the index that exports write since."""
    folder = tmp_path_factory.mktemp("good") / "bundle"
    shutil.copytree(RELEASED / "mygo", folder)
    save_file(Bundle.open(folder).known_triples.arrays(), folder / "known_triples.safetensors")
    change_manifest(folder, lambda manifest: manifest["files"].update({"known_triples.safetensors": {}}))
    reseal(folder)
    return folder


def refusal(folder: Path) -> str | None:
    """What Python says; None if it opens the bundle."""
    try:
        Bundle.open(folder)
    except BundleError as err:
        return str(err)
    return None


def file_in(message: str) -> str:
    """Which file a message names first; none in a few of Python's."""
    names = {name: message.find(name) for name in (*os.listdir(RELEASED / "mygo"), "known_triples.safetensors")}
    found = {name: place for name, place in names.items() if place >= 0}
    return min(found, key=found.__getitem__) if found else ""


def test_what_python_refuses_is_refused_for_the_same_file(ask: Ask, good: Path, tmp_path: Path) -> None:
    folders = {}
    for name, (spoil, sealed_anew) in ATTACKS.items():
        # The attacks leave files beside the folder, too.
        folders[name] = tmp_path / name / "bundle"
        shutil.copytree(good, folders[name])
        spoil(folders[name])
        if sealed_anew:
            reseal(folders[name])
    found = ask(["open"], [str(folder) for folder in (good, *folders.values())])
    assert found[0] == "accepted mygo fp32"
    for (name, folder), answer in zip(folders.items(), found[1:], strict=True):
        said = refusal(folder)
        assert said is not None, name
        assert answer.startswith("bundle\t"), f"{name}: {answer}"
        assert file_in(said) in ("", file_in(answer)), f"{name}: {answer} / {said}"


def test_graphs_that_python_refuses_on_opening_are_refused(ask: Ask, good: Path, tmp_path: Path) -> None:
    """Those that read elsewhere, and those that are no graph or one of another signature."""
    changes = [(name, change, True) for name, change in onnx_attacks.READS]
    changes += [(change.__name__, change, False) for change in onnx_attacks.GRAPHS]
    folders, refused = [], []
    for number, (_, change, _) in enumerate(changes):
        folders.append(tmp_path / str(number))
        shutil.copytree(good, folders[-1])
        onnx_attacks.spoil(folders[-1], change)
        reseal(folders[-1])
        refused.append(refusal(folders[-1]) is not None)
    found = ask(["open"], [str(folder) for folder in folders])
    for (name, _, reads), answer, told in zip(changes, found, refused, strict=True):
        assert told or not reads, name
        assert answer.startswith("bundle\t") == told, f"{name}: {answer}"
        assert not told or "query_encoder.onnx" in answer, f"{name}: {answer}"


@pytest.mark.parametrize(("family", "precision"), [("mygo", "fp32"), ("adamf_mat", "fp32"), ("mimic", "fp16")])
def test_one_flipped_bit_in_any_file_is_noticed(family: str, precision: str, ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(RELEASED / family, folder)
    assert ask(["open"], [str(folder)]) == [f"accepted {family} {precision}"]
    for path in sorted(folder.iterdir()):
        if path.name == "bundle.json":  # of this version it has no seal
            continue
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        (answer,) = ask(["open"], [str(folder)])
        assert answer.startswith("bundle\t")
        assert f"{path.name} was changed: its SHA-256 is" in answer
        path.write_bytes(good)


def test_a_manifest_written_in_another_form_has_the_same_seal(ask: Ask, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(good, folder)
    odd = {"é😀\u007f\u2028": [1e-5, 1e16, 0.1, -0.0, 123456.789, 1e18, 5e-324, 2.0], '\t"\\/': None, "": {"b": True}}
    change_manifest(folder, lambda manifest: manifest["provenance"].update(odd))
    written = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(dict(reversed(written.items())), indent=3, ensure_ascii=False))
    assert refusal(folder) is None
    assert ask(["open"], [str(folder)]) == ["accepted mygo fp32"]


def _with_tree(tree: object) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["files"]["MODEL_CARD.md"].update(sha256_tree=tree)


def test_the_tree_of_a_large_file_is_looked_at_where_there_is_one(ask: Ask, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(good, folder)
    data = bytes(range(256)) * (17 << 12)  # 17 MiB: two parts of 8 and a rest
    (folder / "MODEL_CARD.md").write_bytes(data)
    parts = [data[start : start + (8 << 20)] for start in range(0, len(data), 8 << 20)]
    tree = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    reseal(folder)
    for given, said in (
        (tree, "accepted mygo fp32"),
        ("0" * 64, f"its SHA-256 tree is {tree}"),
        (1, "expected a text"),
    ):
        change_manifest(folder, _with_tree(given))
        (answer,) = ask(["open"], [str(folder)])
        assert said in answer


def test_other_families_are_refused_with_what_to_do(ask: Ask) -> None:
    (answer,) = ask(["open"], [str(RELEASED / "mkgformer-links")])
    assert answer.startswith("bundle\t")
    assert "Open it with Python" in answer


def test_links_lead_where_python_lets_them(ask: Ask, tmp_path: Path) -> None:
    within, cached = tmp_path / "within", tmp_path / "hub" / "snapshots" / "1" / "below"
    outside = tmp_path / "outside"
    for folder, store in ((within, within / "..data"), (cached, tmp_path / "hub" / "blobs"), (outside, tmp_path / "x")):
        folder.mkdir(parents=True)
        shutil.copytree(RELEASED / "mygo", store)
        for path in store.iterdir():
            (folder / path.name).symlink_to(os.path.relpath(path, folder))
    (tmp_path / "folder").symlink_to(within)
    folders = [within, cached, outside, tmp_path / "folder"]
    found = ask(["open"], [str(folder) for folder in folders])
    assert [answer.startswith("accepted") for answer in found] == [refusal(folder) is None for folder in folders]
    assert "is a link out of its folder" in found[2]


@pytest.mark.parametrize("path", ["absent", "file", "file/below", "x" * 300, "loop", "empty"])
def test_what_is_no_bundle_is_named(path: str, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").mkdir()
    (answer,) = ask(["open"], [str(tmp_path / path)])
    assert answer.startswith(f"bundle\t{tmp_path / path}")


@pytest.mark.parametrize(("given", "opens"), [(None, True), (64, True), (0, False), (1.0, False), (True, False)])
def test_a_setting_that_may_be_null(given: object, opens: bool, ask: Ask, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(good, folder)
    change_manifest(folder, lambda manifest: manifest["config"].update(sampled_entities=given))
    assert (refusal(folder) is None) == opens
    assert ask(["open"], [str(folder)])[0].startswith("accepted" if opens else "bundle\t")


@pytest.mark.parametrize(("given", "opens"), [(True, True), (False, True), ("no", False), (0, False), (None, False)])
def test_a_setting_that_is_true_or_false(given: object, opens: bool, ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(RELEASED / "adamf_mat", folder)
    change_manifest(folder, lambda manifest: manifest["config"].update(train_features=given))
    assert (refusal(folder) is None) == opens
    assert ask(["open"], [str(folder)])[0].startswith("accepted" if opens else "bundle\t")


@pytest.mark.parametrize(("given", "opens"), [("", True), ("image_text", True), ("tglu", False), (None, False)])
def test_a_setting_that_is_one_of_a_few_names(given: object, opens: bool, ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(RELEASED / "mimic", folder)
    change_manifest(folder, lambda manifest: manifest["config"].update(without_unit=given))
    assert (refusal(folder) is None) == opens
    refused = r"bundle\t.*bundle.json: without_unit is .*; expected '', 'text', 'image' or 'image_text'"
    assert re.match("accepted" if opens else refused, ask(["open"], [str(folder)])[0])


def test_a_program_of_other_headers_is_refused_whatever_it_opens(ask: Ask) -> None:
    major, minor = (int(part) for part in __version__.split(".")[:2])
    assert ask(["open", str(minor)], [str(RELEASED / "mygo")]) == ["accepted mygo fp32"]
    (answer,) = ask(["open", str(minor + 1)], ["absent"])
    assert answer == (
        f"backend\tthe program was compiled with the headers of mmkg {major}.{minor + 1}, and libmmkg_model is "
        f"{major}.{minor}. Compile it anew, or install the library of its version."
    )
