"""Changed bundles: refused, the same, or noticed by verification. `python -m tests.attacks.fuzz` goes on for longer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="one of the ways to an answer")
pytest.importorskip("tokenizers", reason="texts need tokenizers")

from tests.attacks.fuzz.campaign import run
from tests.attacks.fuzz.judge import Judge
from tests.attacks.fuzz.subjects import WAYS, make_subjects
from tests.attacks.reseal import change_manifest, reseal


def test_no_changed_bundle_answers_otherwise_or_breaks_anything() -> None:
    report = run(0, most=120, minutes=1).to_json()
    assert report["failures"] == []
    assert report["mutants"]


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_subjects(tmp_path_factory.mktemp("subjects"))


@pytest.fixture(scope="module")
def judge(subjects: dict[str, Path]) -> Iterator[Judge]:
    made = Judge(subjects)
    yield made
    made.close()


def _sets(**settings: Any) -> Callable[[Path], None]:
    return lambda folder: change_manifest(folder, lambda manifest: manifest["config"].update(settings))


def _scales(file: str, tensor: str, by: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        from safetensors.numpy import load_file, save_file

        tensors = load_file(folder / file)
        tensors[tensor] = tensors[tensor] * tensors[tensor].dtype.type(by)
        save_file(tensors, folder / file)
        reseal(folder)

    return change


SAME, NOTICED, REFUSED = "same", "not verified", "refused: BundleError"


@pytest.mark.parametrize(
    ("subject", "change", "expected"),
    [
        ("mygo", lambda folder: None, (SAME, SAME, SAME)),
        ("mygo", _sets(dropout=0.5), (SAME, SAME, SAME)),
        ("mygo", _sets(num_heads=4), (REFUSED, REFUSED, REFUSED)),
        # The rows of both codebooks lie in one weight; where one ends, only kernels and torch ask the configuration.
        ("mygo", _sets(visual_codebook_rows=6, text_codebook_rows=7), (REFUSED, REFUSED, REFUSED)),
        ("mygo", _scales("table.safetensors", "vectors", 1.01), (NOTICED, NOTICED, NOTICED)),
        ("mygo", _scales("weights.safetensors", "entity_encoder_token_table.logits", 1.5), (NOTICED, NOTICED, NOTICED)),
        ("adamf_mat", _sets(margin=13.0), (NOTICED, NOTICED, NOTICED)),
        ("adamf_mat", _sets(missing_modalities="zeros"), (NOTICED, NOTICED, NOTICED)),
        ("mimic", _sets(num_text_heads=4), (SAME, SAME, NOTICED)),
        ("mimic", _scales("table.safetensors", "entity_text", 1.1), (NOTICED, NOTICED, NOTICED)),
        ("mkgformer-links", _sets(mask_token_id=3), (NOTICED, NOTICED, NOTICED)),
        ("mkgformer-links", _scales("images.safetensors", "states", 2.0), (NOTICED, NOTICED, NOTICED)),
        ("mkgformer-tags", _sets(mask_prefix=True), (SAME, SAME, NOTICED)),
        ("mkgformer-tags", _scales("weights.safetensors", "tag_encoder.transitions", -30.0), (NOTICED,) * 3),
    ],
)
def test_a_setting_or_number_is_noticed_on_every_way_that_it_changes(
    subject: str,
    change: Callable[[Path], None],
    expected: tuple[str, ...],
    subjects: dict[str, Path],
    judge: Judge,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(subjects[subject], folder)
    change(folder)
    assert judge.outcomes(subject, folder) == dict(zip(WAYS, expected, strict=True))


def test_a_change_without_the_seal_is_refused_when_it_is_opened_or_inspected(
    subjects: dict[str, Path], tmp_path: Path
) -> None:
    import mmkg_sdk
    from mmkg_sdk.bundle import read_manifest

    shutil.copytree(subjects["adamf_mat"], tmp_path / "bundle")
    path = tmp_path / "bundle" / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["config"]["margin"] = 13.0
    path.write_text(json.dumps(manifest))
    for reader in (mmkg_sdk.load, read_manifest):
        with pytest.raises(mmkg_sdk.BundleError, match=r"bundle\.json was changed after it was written"):
            reader(tmp_path / "bundle")
