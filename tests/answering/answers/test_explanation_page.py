"""The page of an explanation, as a browser shows it."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import mmkg_sdk
from mmkg_sdk import LinkExplanation, Mention
from mmkg_sdk.answering.answers.explanation_page import write_explanation
from mmkg_sdk.cli.group import cli
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.errors import DataError
from tests.browser import in_browser, pictured

GREEN = (10, 200, 30)
# The colours of the page at 0.8 of its opacity, and at half of that, over white.
BLUE, ORANGE = (51, 142, 193), (238, 191, 153)


def explanation(image: Path | None) -> LinkExplanation:
    places = {"matched": np.array([[0.2, 0.0], [0.0, -0.1]], np.float32)} if image else {}
    units = {"text": 1.5, "image": -0.5, "image_text": 2.0}
    return LinkExplanation(Mention("a <b>", "in </p> words", image), "x & y", 1.0, units, {"text_local": 1.0}, places)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """White, three wide and two high, with a green quarter below on the left; as large as it is drawn."""
    colours = np.full((240, 360, 3), 255, np.uint8)
    colours[120:, :180] = GREEN
    Image.fromarray(colours).save(tmp_path / "seen.png")
    return tmp_path / "seen.png"


def box(picture: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
    """How many pixels have a colour, and where: first and last row, first and last column."""
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) <= 3).all(axis=2))
    assert len(rows), f"no pixel is {colour}"
    return len(rows), rows.min(), rows.max(), columns.min(), columns.max()


def test_the_weights_are_drawn_over_their_places_of_the_image(image: Path, tmp_path: Path) -> None:
    write_explanation(explanation(image), tmp_path / "page.html")
    with Image.open(pictured(tmp_path / "page.html", tmp_path, 900, 1400)) as shown:
        picture = np.asarray(shown.convert("RGB"))
    more, less, own = (box(picture, colour) for colour in (BLUE, ORANGE, GREEN))
    for count, top, bottom, left, right in (more, less, own):
        # A quarter of 360 x 240 pixels, in one piece; the browser may mix colours along an edge.
        assert (bottom - top, right - left) == pytest.approx((119, 179), abs=2)
        assert count == pytest.approx(180 * 120, rel=0.03)
    assert less[1] - more[1] == pytest.approx(120, abs=2), "what takes from the score is below on the right"
    assert less[3] - more[3] == pytest.approx(180, abs=2)
    assert (own[1] - more[1], own[3] - more[3]) == pytest.approx((120, 0), abs=2), "the image itself"


def test_the_page_stands_alone_and_texts_are_no_markup(image: Path, tmp_path: Path) -> None:
    write_explanation(explanation(image), tmp_path / "out.html")
    html = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r"<script|https?://", html)
    drawn = in_browser(html, tmp_path)
    assert "<b>" not in drawn
    text = unescape(re.sub(r"<[^>]+>", " ", drawn))
    for part in ("x & y", "a <b>: in </p> words", "image_text", "-0.5000", "what each place adds"):
        assert part in text
    write_explanation(explanation(None), tmp_path / "none.html")
    assert "<image" not in (tmp_path / "none.html").read_text()


def test_an_image_that_has_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png cannot be read"):
        write_explanation(explanation(tmp_path / "gone.png"), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_command_writes_the_page_and_prints_the_answer(
    small_bundle: Path, small_world: LinkingData, golden_bundle: Path, tmp_path: Path
) -> None:
    seen = small_world.images[1]
    words = ["--mention", "Georgia", "--sentence", "Old wine.", "--image", str(seen), "--json"]
    done = CliRunner().invoke(
        cli, ["explain", str(small_bundle), "Georgia (state)", *words, "--html", str(tmp_path / "link.html")]
    )
    assert done.exit_code == 0, done.output
    with mmkg_sdk.Linker.load(small_bundle) as linker:
        expected = linker.explain_link(Mention("Georgia", "Old wine.", seen), "Georgia (state)")
    assert json.loads(done.stdout) == json.loads(json.dumps(expected.to_json()))
    assert (tmp_path / "link.html").read_text().count("<image ") == 2
    done = CliRunner().invoke(cli, ["explain", str(golden_bundle), "entity 3", "--html", str(tmp_path / "entity.html")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "entity.html").read_text()
    with mmkg_sdk.Model.load(golden_bundle, device="cpu") as model:
        found = model.explain_entity("entity 3")
    for one in found.tokens:
        assert f"<td>{one.modality} token {one.token}</td><td>{one.weight:.4f}</td>" in page
    wrong = CliRunner().invoke(cli, ["explain", str(golden_bundle), "entity 3", "--sentence", "words"])
    assert wrong.exit_code == 2
