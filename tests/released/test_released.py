"""What an earlier version has written is opened, and answers as it did then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mmkg_sdk
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle.manifest import READ_VERSIONS
from mmkg_sdk.registry import FAMILIES
from tests.released.questions import ask

HERE = Path(__file__).parent
BUNDLES = sorted(path.parent for path in HERE.glob("*/*/bundle.json"))
every_bundle = pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")


def kept(folder: Path) -> dict[str, Any]:
    """Questions and answers, written when the bundle was made."""
    answers: dict[str, Any] = json.loads(folder.with_name(f"{folder.name}.json").read_text(encoding="utf-8"))
    return answers


@pytest.fixture(autouse=True)
def needs_tokenizers(request: pytest.FixtureRequest) -> None:
    folder = request.node.callspec.params.get("folder") if hasattr(request.node, "callspec") else None
    if folder is not None and (folder / "tokenizer.json").exists():
        pytest.importorskip("tokenizers", reason="texts need tokenizers")


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "torch"])
@every_bundle
def test_it_answers_with_the_same_ids_and_scores(folder: Path, backend: str) -> None:
    expected = kept(folder)
    with mmkg_sdk.load(folder, backend, "cpu") as opened:
        for answer in expected["answers"]:
            found = ask(opened, answer["question"])
            assert json.loads(json.dumps(found["exact"])) == answer["exact"]
            assert found["scores"] == pytest.approx(
                answer["scores"], rel=expected["tolerance"], abs=expected["tolerance"]
            )


@every_bundle
def test_it_passes_verification(folder: Path) -> None:
    report = verify_bundle(folder, device="cpu")
    assert report["passed"], report


@every_bundle
def test_it_says_which_version_made_it(folder: Path) -> None:
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    version = folder.parent.name
    assert manifest["provenance"]["mmkg_sdk"] == version
    assert kept(folder)["made_by"] == f"mmkg_sdk {version}"


@every_bundle
def test_it_is_small(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 120_000


def test_every_family_and_task_is_there_in_the_newest_format_that_was_released() -> None:
    manifests = [json.loads((folder / "bundle.json").read_text(encoding="utf-8")) for folder in BUNDLES]
    newest = max(manifest["format_version"] for manifest in manifests)
    assert newest in READ_VERSIONS
    current: dict[str, set[str | None]] = {}
    for manifest in manifests:
        if manifest["format_version"] == newest:
            current.setdefault(manifest["family"], set()).add(manifest["config"].get("task"))
    assert set(current) == set(FAMILIES)
    assert len(current["mkgformer"]) == 3
