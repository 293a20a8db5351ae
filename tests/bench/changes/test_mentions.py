"""bench quality of entity linking: its figures are the evaluation's, and what is changed is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk.answering.entity_linking import Linker, Mention
from mmkg_sdk.bench.changes.mentions import AskedMentions
from mmkg_sdk.bench.quality.results import QualityReport
from mmkg_sdk.bench.quality.run import run_quality
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.data.open import open_data
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle
from tests.families.mimic.small import random_run
from tests.once import once

images = pytest.importorskip("PIL.Image", reason="images need pillow")

QUICK: dict[str, Any] = {"seeds": 2, "seconds": 0.001, "threads": 1, "plot": False, "most": 40}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MIMIC of random weights on the embedded mentions, and other pictures of the same names."""

    def make(out: Path) -> None:
        data = open_data("atlas-mentions")
        assert isinstance(data, LinkingData)
        export_bundle(random_run(out / "run", data), out / "bundle")
        (out / "other").mkdir()
        for one in {one.image for one in data.test if one.image is not None}:
            images.new("RGB", (16, 16), (200, 30, 30)).save(out / "other" / one.name)

    return once(tmp_path_factory, "mimic-atlas-quality", make)


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> QualityReport:
    out = tmp_path_factory.mktemp("quality")
    return run_quality(folder / "bundle", out, data="atlas-mentions", other_images=folder / "other", **QUICK)


def test_the_bundle_as_it_is_has_the_figures_of_the_evaluation(folder: Path, tmp_path: Path) -> None:
    found = run_quality(
        folder / "bundle", tmp_path, data="atlas-mentions", parts=["pictures"], **QUICK | {"most": 9999}
    )
    expected = evaluate_path(folder / "bundle", "test", data="atlas-mentions").metrics()
    assert found.baseline["metrics"] == expected
    assert found.baseline["value"] == pytest.approx(expected["mrr"], abs=1e-12)
    assert found.rows == ()


def test_rows_are_those_of_a_linker_that_is_asked_so(folder: Path, report: QualityReport) -> None:
    asked = AskedMentions.of(Bundle.open(folder / "bundle"), "atlas-mentions", None, "test", 40)
    red = {
        row: folder / "other" / one.image.name for row, one in enumerate(asked.mentions) if isinstance(one.image, Path)
    }
    changed = {
        "image dropped": [Mention(one.text, one.sentence) for one in asked.mentions],
        "sentence dropped": [Mention(one.text, "", one.image) for one in asked.mentions],
        "pictures by somebody else": [
            Mention(one.text, one.sentence, red.get(row)) for row, one in enumerate(asked.mentions)
        ],
    }
    with Linker.load(folder / "bundle", device="cpu", threads=1) as linker:
        for what, mentions in changed.items():
            (row,) = [one for one in report.rows if one.change == what and one.settings.get("share", 1.0) == 1.0]
            scores = linker.score_mentions(mentions, unreadable="none")
            right = scores[np.arange(len(mentions)), asked.answers]
            before = (scores == right[:, None]) & (np.arange(scores.shape[1]) < asked.answers[:, None])
            ranks = 1 + (scores > right[:, None]).sum(axis=1) + before.sum(axis=1)
            assert row.value == pytest.approx((1 / ranks).mean(), abs=1e-12)
            assert row.low <= row.difference <= row.high


def test_settings_with_and_without_text_and_image(report: QualityReport) -> None:
    rows = report.of_part("frontier")
    assert [row.level for row in rows] == ["name + sentence + image", "name + sentence", "name + image", "name"]
    assert rows[0].difference == 0
    dropped = {row.change: row.value for row in report.rows if row.settings.get("share") == 1.0}
    assert (rows[1].value, rows[2].value) == (dropped["image dropped"], dropped["sentence dropped"])
    assert sum(row.recommended for row in rows) == 1
    assert all(row.per_second for row in rows)


def test_every_change_of_pictures_is_there_and_the_seeds_of_those_by_chance(report: QualityReport) -> None:
    names = dict.fromkeys(row.change for row in report.of_part("robustness"))
    expected = ["image dropped", "sentence dropped", "image of another mention", "Gaussian noise", "blur", "JPEG"]
    assert list(names) == [*expected, "pictures by somebody else"]
    assert all(len(row.by_seed) == 2 for row in report.rows if row.change in expected[2:4])


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"data": None}, DataError, "--data"),
        ({"data": "atlas-tags"}, DataError, "expected mentions"),
        ({"tokens": {"text": [1]}}, QueryError, "--tokens"),
        ({"other_images": Path(__file__).parent}, DataError, "no picture called as"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    asked: dict[str, Any], error: type[Exception], said: str, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        run_quality(folder / "bundle", tmp_path / "out", **{"data": "atlas-mentions", **QUICK, **asked})
    assert not (tmp_path / "out").exists()
