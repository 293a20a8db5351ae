"""Bundles to and from a hub of this machine that speaks the calls which are used; the real one was never asked."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import mmkg_sdk
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BundleError, ExportError
from mmkg_sdk.hub import fetch_bundle, push_bundle
from mmkg_sdk.signing import SIGNATURE, check_signature, sign_bundle
from tests.attacks.reseal import change_manifest
from tests.cli.walk import call
from tests.docs.pages import text_of
from tests.hub.server import TOKEN, Hub, running_hub
from tests.places import ROOT
from tests.test_signing import make_key

NAME = "some-lab/countries"
ABSENT = "0" * 40


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    with running_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = "{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{template}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # no server of that protocol can be had
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
    assert not server.unknown


@pytest.fixture
def pushed(hub: Hub, golden_bundle: Path) -> str:
    with mmkg_sdk.load(golden_bundle) as model:
        commit = model.push_to_hub(NAME, license="apache-2.0")
    hub.calls.clear()
    return commit


def test_what_was_pushed_answers_from_its_commit_as_the_folder_does(
    golden_bundle: Path, pushed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with mmkg_sdk.Model.load(golden_bundle) as folder, mmkg_sdk.load(NAME, revision=pushed) as fetched:
        assert isinstance(fetched, mmkg_sdk.Model)
        assert fetched.bundle.path.name == pushed
        asked = [folder.entities[row] for row in range(3)], folder.relations[0]
        expected, found = folder.predict_tails(*asked, k=5), fetched.predict_tails(*asked, k=5)
        for one, other in zip(expected, found, strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            assert one.scores.tobytes() == other.scores.tobytes()


def test_the_calls_are_those_that_the_document_names(hub: Hub, golden_bundle: Path) -> None:
    commit = push_bundle(Bundle.open(golden_bundle), NAME, license="apache-2.0")
    fetch_bundle(NAME, commit)
    named = re.findall(r"`((?:GET|HEAD|POST|PUT) /[^`]*)`", text_of("docs/sharing.md"))
    assert sorted(named) == sorted({call.replace("REV", "COMMIT") if "resolve" in call else call for call in hub.calls})


def test_only_files_of_the_bundle_travel(hub: Hub, golden_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for path in golden_bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "notes.pkl").write_bytes(b"no pickle")
    commit = push_bundle(Bundle.open(folder), NAME, license="apache-2.0")
    listed = {*Bundle.open(folder).manifest["files"], "bundle.json", "README.md"}
    assert set(hub.repositories[NAME].commits[commit]) == listed
    hub.repositories[NAME].commits[commit]["notes.pkl"] = b"no pickle"
    assert {path.name for path in fetch_bundle(NAME, commit).iterdir()} == listed - {"README.md"}


def test_a_bundle_that_was_fetched_is_opened_without_the_hub(
    pushed: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_bundle(NAME, pushed)
    calls = len(hub.calls)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    mmkg_sdk.load(NAME, revision=pushed).close()
    assert len(hub.calls) == calls
    with pytest.raises(BundleError, match="fetch it once while the Hub can be reached"):
        fetch_bundle("some-lab/never-fetched", pushed)


@pytest.mark.parametrize("revision", ["main", "v1.0", "0123abc", "A" * 40, "../" * 13 + "a", ""])
def test_a_revision_that_moves_is_refused_before_anything_is_asked(hub: Hub, revision: str) -> None:
    with pytest.raises(BundleError, match=r"no pinned revision.*40 hexadecimal"):
        mmkg_sdk.load(NAME, revision=revision)
    assert not hub.calls


def test_without_a_revision_a_path_is_a_folder_and_nothing_is_asked(hub: Hub, pushed: str) -> None:
    with pytest.raises(BundleError, match=r"some-lab/countries.*No such file.*revision"):
        mmkg_sdk.load(NAME)
    assert not hub.calls


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        (NAME, ABSENT, "Pass a commit that this repository has"),
        ("some-lab/other", None, "Check the name"),
        ("a/b/c", None, "ORGANISATION/NAME"),
        ("../../etc", None, "ORGANISATION/NAME"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_do(pushed: str, name: str, revision: str | None, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        fetch_bundle(name, revision or pushed)


def test_a_repository_without_a_bundle_is_named(hub: Hub, pushed: str) -> None:
    hub.repositories[NAME].commits[pushed].pop("bundle.json")
    with pytest.raises(BundleError, match=r"bundle\.json of some-lab/countries.*no repository of a bundle"):
        fetch_bundle(NAME, pushed)


# ---- a hub that lies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.safetensors", "query_encoder.onnx", "entities.txt"])
def test_a_file_with_one_byte_changed_is_refused(hub: Hub, pushed: str, name: str) -> None:
    changed = bytearray(hub.repositories[NAME].commits[pushed][name])
    changed[len(changed) // 2] ^= 1
    hub.served[name] = bytes(changed)
    with pytest.raises(BundleError, match=rf"{name} was changed"):
        mmkg_sdk.load(NAME, revision=pushed)


def test_a_manifest_that_names_other_files_has_none_of_them_fetched(hub: Hub, pushed: str, tmp_path: Path) -> None:
    manifest = json.loads(hub.repositories[NAME].commits[pushed]["bundle.json"])
    manifest["files"]["../../../stolen"] = {"sha256": "0" * 64, "bytes": 1}
    hub.served["bundle.json"] = json.dumps(manifest).encode()
    with pytest.raises(BundleError, match="not part of the format"):
        fetch_bundle(NAME, pushed)
    assert set(hub.calls) == {"HEAD /REPO/resolve/REV/FILE", "GET /REPO/resolve/REV/FILE"}
    assert len(hub.calls) == 2


def test_another_commit_than_the_pinned_one_is_refused(hub: Hub, pushed: str) -> None:
    hub.commit_shown = "f" * 40
    with pytest.raises(BundleError, match="the server answered with ffff"):
        fetch_bundle(NAME, pushed)


# ---- signatures ----------------------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    pytest.importorskip("model_signing", reason="model-signing is not installed")
    return make_key(tmp_path / "mine")


@pytest.fixture
def signed(hub: Hub, golden_bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> str:
    sign_bundle(golden_bundle, tmp_path / "own.sig", private_key=keys[0])
    with mmkg_sdk.load(golden_bundle) as model:
        return model.push_to_hub(NAME, license="mit", signature=tmp_path / "own.sig", public_key=keys[1])


def test_a_signed_bundle_is_signed_when_it_was_fetched(
    hub: Hub, signed: str, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    for _ in range(2):
        folder = fetch_bundle(NAME, signed, public_key=keys[1])
        Bundle.open(folder)
        check_signature(folder, tmp_path / "own.sig", public_key=keys[1])
        assert (folder / SIGNATURE).read_bytes() == (tmp_path / "own.sig").read_bytes()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # it is in the cache, signature and all


def test_what_was_not_signed_by_the_owner_of_the_key_is_refused(
    hub: Hub, signed: str, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match="Do not use this bundle"):
        fetch_bundle(NAME, signed, public_key=make_key(tmp_path / "other")[1])
    changed = bytearray(hub.repositories[NAME].commits[signed]["entities.txt"])
    changed[len(changed) // 2] ^= 1
    for name, content in (("entities.txt", bytes(changed)), (SIGNATURE, b"{}"), (SIGNATURE, b" " * (1 << 21))):
        shutil.rmtree(tmp_path / "cache")
        hub.served = {name: content}
        with pytest.raises(BundleError, match="Do not use this bundle"):
            fetch_bundle(NAME, signed, public_key=keys[1])


def test_a_repository_without_a_signature_is_refused_where_one_is_asked_for(
    hub: Hub, pushed: str, keys: tuple[Path, Path]
) -> None:
    with pytest.raises(BundleError, match=r"fetching bundle\.sig of some-lab/countries"):
        fetch_bundle(NAME, pushed, public_key=keys[1])


def test_a_push_without_a_signature_leaves_none_of_an_earlier_bundle(
    hub: Hub, signed: str, golden_bundles: Callable[..., Path]
) -> None:
    commit = push_bundle(Bundle.open(golden_bundles("db15k_like", "fp16")), NAME, license="mit")
    assert SIGNATURE in hub.repositories[NAME].commits[signed]
    assert SIGNATURE not in hub.repositories[NAME].commits[commit]
    Bundle.open(fetch_bundle(NAME, commit))


def test_a_signature_of_another_bundle_is_not_pushed(
    hub: Hub, golden_bundles: Any, golden_bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    sign_bundle(golden_bundles("db15k_like", "fp16"), tmp_path / "other.sig", private_key=keys[0])
    with pytest.raises(BundleError, match="Do not use this bundle"):
        push_bundle(
            Bundle.open(golden_bundle),
            NAME,
            license="mit",
            signature=tmp_path / "other.sig",
            public_key=keys[1],
        )
    with pytest.raises(ExportError, match="go together; found one"):
        push_bundle(Bundle.open(golden_bundle), NAME, license="mit", signature=tmp_path / "other.sig")
    assert call("push", golden_bundle, NAME, "--license", "mit", "--public-key", keys[1]).code == 2
    assert not hub.calls


# ---- the token -----------------------------------------------------------------------------------------------------


def test_a_private_repository_needs_the_token(
    hub: Hub, pushed: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert hub.repositories[NAME].private
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BundleError, match=r"if it is private, set \$HF_TOKEN"):
        fetch_bundle(NAME, pushed)
    from huggingface_hub import constants, get_token

    kept = tmp_path / "token"
    kept.write_text(TOKEN)  # what a login keeps; the environment alone is asked
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(kept))
    assert get_token() == TOKEN
    with pytest.raises(BundleError, match=r"if it is private, set \$HF_TOKEN"):
        fetch_bundle(NAME, pushed)


def test_a_push_without_a_token_asks_nothing(hub: Hub, golden_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ExportError, match=r"Set \$HF_TOKEN"):
        push_bundle(Bundle.open(golden_bundle), NAME, license="apache-2.0")
    assert not hub.calls


def test_the_token_goes_to_the_hub_alone_and_is_never_said(
    hub: Hub,
    golden_bundle: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    commit = push_bundle(Bundle.open(golden_bundle), NAME, license="apache-2.0")
    fetch_bundle(NAME, commit)
    assert {"PUT /storage/OID", "GET /storage/OID"} <= set(hub.calls)
    assert not hub.tokens_at_storage

    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}_expired")
    with pytest.raises(ExportError, match=r"unknown token: Bearer \$HF_TOKEN") as caught:
        push_bundle(Bundle.open(golden_bundle), NAME, license="apache-2.0")
    printed = capfd.readouterr()
    said = "".join(traceback.format_exception(caught.value))
    assert not [text for text in (caplog.text, said, printed.out, printed.err) if TOKEN in text]


# ---- the card ------------------------------------------------------------------------------------------------------


def test_the_card_is_what_the_hub_reads(hub: Hub, golden_bundle: Path) -> None:
    from huggingface_hub import ModelCard

    evaluation = {"path": "x", "split": "test", "queries": 4, "mrr": 0.5, "hits_at_1": 0.25, "realistic": {"mrr": 0.4}}
    push_bundle(Bundle.open(golden_bundle), NAME, license="cc-by-4.0", datasets=["lab/atlas"], evaluations=[evaluation])
    made: Any = ModelCard
    card = made(hub.cards[0])
    data = card.data.to_dict()
    assert (data["library_name"], data["license"], data["datasets"]) == ("mmkg_sdk", "cc-by-4.0", ["lab/atlas"])
    assert {"mygo", "link-prediction", "onnx"} <= set(data["tags"])
    results = {one.metric_type: one for one in card.data.eval_results or []}
    assert {name: one.metric_value for name, one in results.items()} == {"mrr": 0.5, "hits_at_1": 0.25}
    assert results["mrr"].dataset_split == "test"
    assert results["mrr"].metric_args["queries"] == 4
    assert "all entities" in results["mrr"].metric_args["protocol"]
    assert "floor" in results["mrr"].metric_args["protocol"]
    assert Bundle.open(golden_bundle).files["MODEL_CARD.md"].tobytes().decode() in card.content


@pytest.mark.parametrize("evaluation", [{}, {"split": "test"}, {"mrr": 0.5}, {"split": "test", "mrr": "high"}])
def test_what_is_no_evaluation_is_refused_before_anything_is_asked(
    hub: Hub, golden_bundle: Path, evaluation: dict[str, object]
) -> None:
    with pytest.raises(ExportError, match="is no evaluation"):
        push_bundle(Bundle.open(golden_bundle), NAME, license="mit", evaluations=[evaluation])
    assert not hub.calls


def test_a_folder_that_was_changed_since_it_was_opened_is_not_pushed(
    hub: Hub, golden_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    bundle = Bundle.open(folder)
    change_manifest(folder, lambda manifest: manifest["provenance"].update(data="another"))
    with pytest.raises(BundleError, match="was changed since it was opened"):
        push_bundle(bundle, NAME, license="apache-2.0")
    assert not hub.calls


# ---- the command line, with huggingface_hub's own settings ---------------------------------------------------------


def test_the_commands_push_and_fetch(golden_bundle: Path, tmp_path: Path) -> None:
    with running_hub() as hub:
        environment = os.environ | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": TOKEN,
            "HF_DEBUG": "1",
            "PYTHONPATH": str(ROOT),
        }

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "mmkg_sdk", *words]
            return subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
            )

        evaluated = run("evaluate", str(golden_bundle), "--json").stdout
        (tmp_path / "evaluation.json").write_text(evaluated)
        pushed = run(
            "push", str(golden_bundle), NAME, "--license", "mit", "--evaluation", "evaluation.json", "--public"
        )
        commit = pushed.stdout.strip()
        fetched = run("fetch", NAME, "--revision", commit, "--json")
        answer = json.loads(fetched.stdout)
        assert answer["revision"] == commit
        assert Bundle.open(answer["bundle"]).manifest == Bundle.open(golden_bundle).manifest
        assert not hub.repositories[NAME].private
        assert json.loads(evaluated)["mrr"] == pytest.approx(
            next(float(line.split()[-1]) for line in mrr_lines(hub.cards[0]))
        )
        assert not [done for done in (pushed, fetched) if TOKEN in done.stdout + done.stderr]
        assert not hub.unknown


def mrr_lines(card: str) -> list[str]:
    lines = card.splitlines()
    return [lines[number + 1] for number, line in enumerate(lines) if line.strip() == "- type: mrr"]
