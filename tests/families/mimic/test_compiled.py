"""What scores mentions and entities in place of the graph, and when."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import BackendError, Linker, Mention
from mmkg_sdk.backends import compiled
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mimic import compiled as compiled_interaction
from mmkg_sdk.families.mimic.compiled import CompiledInteraction, absence
from mmkg_sdk.kernels import library
from tests.attacks.reseal import reseal
from tests.families.mimic.cases import close, golden, ranks
from tests.families.mimic.small import LABELS

GEORGIA = Mention("Georgia", "Georgia has old wine.")
JORDAN = Mention("Jordan", "Jordan, a kingdom.")


@pytest.fixture(autouse=True)
def _built() -> None:
    if isinstance(why := library(), str):
        pytest.skip(why)


@pytest.mark.parametrize(("name", "precision"), [("base", "fp32"), ("base", "fp16"), ("single_mention", "fp32")])
def test_it_gives_the_scores_of_the_graph_and_the_official_ranks(
    name: str, precision: str, golden_bundles: Callable[..., Path]
) -> None:
    folder, case = golden_bundles(name, precision, "mimic"), golden(name)
    asked = [case.inputs[f"mention_{part}"] for part in ("input_ids", "attention_mask", "pixel_values")]
    with mmkg_sdk.load(folder, "auto", "cpu") as linker, mmkg_sdk.load(folder, "onnxruntime", "cpu") as by_graph:
        assert linker.has_stand_ins
        assert not by_graph.has_stand_ins
        pieces = by_graph.encode_tokens(*asked)
        found, graph = linker.score_pieces(pieces), by_graph.score_pieces(pieces)
        for unit, scores in graph.items():
            np.testing.assert_allclose(found[unit], scores, rtol=0, atol=2e-4 if precision == "fp16" else 1e-5)
        some = linker.score_pieces(pieces, [3, 1])
        for unit, scores in found.items():
            np.testing.assert_array_equal(some[unit], scores[:, [1, 3]])
        overall = np.mean(list(found.values()), axis=0)
        np.testing.assert_array_equal(ranks(overall), case.outputs["all_ranks"])
        if precision == "fp32":
            close(overall, case.outputs["scores"])


def test_a_linker_answers_alike_with_and_without_it(small_bundle: Path) -> None:
    with (
        mmkg_sdk.load(small_bundle, "auto", "cpu") as linker,
        mmkg_sdk.load(small_bundle, "onnxruntime", "cpu") as other,
    ):
        mentions = [GEORGIA, JORDAN] * 20
        np.testing.assert_allclose(linker.score_mentions(mentions), other.score_mentions(mentions), rtol=0, atol=1e-4)
        (link,) = linker.link_mentions(GEORGIA, k=7, explain=True)
        (expected,) = other.link_mentions(GEORGIA, k=7)
        assert link.labels == expected.labels
        assert link.units is not None
        some = linker.link_mentions(GEORGIA, candidates=["Jordan", "Atlanta"])
        assert set(some[0].labels) == {"Jordan", "Atlanta"}
        assert linker.link_mentions(GEORGIA, candidates=[])[0].labels == ()
        assert linker.score_mentions([]).shape == (0, len(LABELS))


def test_a_backend_that_was_asked_for_by_name_runs_the_graph(small_bundle: Path) -> None:
    bundle = Bundle.open(small_bundle)
    for name in ("onnxruntime", "torch"):
        with Linker.load(bundle.path, name, "cpu") as linker:
            assert not linker.has_stand_ins


def test_without_a_library_the_graph_runs(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "library", lambda: "not built: no compiler")
    assert absence(Bundle.open(small_bundle)) == "not built: no compiler"
    with mmkg_sdk.load(small_bundle, "auto", "cpu") as linker:
        assert not linker.has_stand_ins
        assert len(linker.link_mentions(GEORGIA)[0]) == 5


def test_the_first_mentions_of_many_threads_open_it_once(small_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = compiled_interaction.LateInteraction
    monkeypatch.setattr(compiled_interaction, "LateInteraction", lambda *a, **k: opened.append(a) or real(*a, **k))
    with mmkg_sdk.load(small_bundle, "auto", "cpu", threads=2) as linker:
        pieces = linker.encode_mentions([GEORGIA, JORDAN])
        with ThreadPoolExecutor(8) as callers:
            answers = list(callers.map(lambda _: linker.score_pieces(pieces), range(16)))
    for found in answers:
        for unit, scores in found.items():
            np.testing.assert_array_equal(scores, answers[0][unit])
    assert len(opened) == 1


def test_it_scores_with_the_weights_that_were_verified_when_the_bundle_is_replaced(
    small_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_bundle, tmp_path / "bundle")
    pieces = encoded(small_bundle)
    interaction = CompiledInteraction(Bundle.open(tmp_path / "bundle"), 1)
    (tmp_path / "new").write_bytes(bytes(1000))
    (tmp_path / "new").rename(tmp_path / "bundle" / "weights.safetensors")
    (tmp_path / "bundle" / "table.safetensors").unlink()
    expected = CompiledInteraction(Bundle.open(small_bundle), 1).scores(pieces, None)
    np.testing.assert_array_equal(interaction.scores(pieces, None), expected)


def test_weights_that_do_not_fit_and_scores_that_are_not_finite_are_refused(small_bundle: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder, pieces = tmp_path / "bundle", encoded(small_bundle)
    shutil.copytree(small_bundle, folder)
    weights = load_file(folder / "weights.safetensors")
    with pytest.raises(BackendError, match="interaction gave NaN or infinity"):
        CompiledInteraction(Bundle.open(folder), 1).scores(
            {**pieces, "mention_text": pieces["mention_text"] * np.nan}, None
        )
    name = "interaction.by_entity.of_key"
    save_file(weights | {name: weights[name].reshape(3, 24)}, folder / "weights.safetensors")
    reseal(folder)
    with pytest.raises(BackendError, match=r"by_entity.of_key is float32 \[3, 24\]; expected float32 \[24, 3\]"):
        CompiledInteraction(Bundle.open(folder), 1).scores(pieces, None)


def encoded(bundle: Path) -> dict[str, np.ndarray]:
    linker: Linker
    with mmkg_sdk.load(bundle, "onnxruntime", "cpu") as linker:
        return linker.encode_mentions([GEORGIA])
