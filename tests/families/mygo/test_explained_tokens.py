"""Words and places of an explanation's tokens, where the bundle has what made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mmkg_sdk
from mmkg_sdk import QueryError
from mmkg_sdk.cli.group import cli
from mmkg_sdk.data import read_dataset
from mmkg_sdk.modalities.image_tokens import ImageTokenizer
from mmkg_sdk.modalities.image_views import COLOURS, OUTLINES, PLACES, QUARTERS, image_views
from mmkg_sdk.modalities.pictures import rgb_picture
from mmkg_sdk.modalities.stored_tokenizers import TOKENIZERS, parsed_tokenizers
from tests.browser import pictured
from tests.families.mygo.test_raw_input import flag, folder  # noqa: F401  # fixtures

images = pytest.importorskip("PIL.Image", reason="images need pillow")


def test_a_view_changes_with_its_place() -> None:
    """The middle of each of 16 cells, 8 pixels wide, is changed in turn; a gradient reaches one pixel further."""
    values = np.random.default_rng(0).integers(60, 200, (32, 32, 3)).astype(np.uint8)
    before = image_views(images.fromarray(values))
    for row in range(4):
        for column in range(4):
            changed = values.copy()
            changed[8 * row + 2 : 8 * row + 6, 8 * column + 2 : 8 * column + 6] = 255
            after = image_views(images.fromarray(changed))
            moved = [float(np.abs(one - other).sum()) for one, other in zip(before, after, strict=True)]
            x, y = (column + 0.5) / 4, (row + 0.5) / 4
            inside = [left < x < right and top < y < bottom for left, top, right, bottom in PLACES]
            for group in (QUARTERS, COLOURS):
                assert [moved[view] > 0 for view in group] == [inside[view] for view in group]
            # A row of the outline is a share of the whole outline, so the others change a little.
            outlines = [moved[view] for view in OUTLINES]
            assert [change == max(outlines) for change in outlines] == [inside[view] for view in OUTLINES]
            assert inside[0]


def test_tokens_are_words_of_the_text_and_places_of_the_image(folder: Path, flag: Path) -> None:  # noqa: F811
    descriptions = read_dataset(folder / "raw").descriptions
    with mmkg_sdk.Model.load(folder / "bundle", device="cpu") as model:
        found = model.explain_entity("Norway")
        words = [one.text for one in found.tokens if one.modality == "text"]
        assert len(words) > 3
        for word in words:
            assert word is not None
            assert word.removeprefix("##") in descriptions["Norway"].lower()
        tokenizer = parsed_tokenizers(model.bundle.files[TOKENIZERS], folder)["visual"]
        assert isinstance(tokenizer, ImageTokenizer)
        seen = tokenizer.tokens(rgb_picture(flag))
        shown = [one for one in found.tokens if one.modality == "image"]
        assert shown
        for one in shown:
            assert one.place == PLACES[seen.index(one.token)], "the view that gave this token"
        assert found.to_json()["tokens"][0]["place"] == shown[0].place
        assert f"text {words[0]}" in [one.name for one in found.tokens]
        assert "image token" in repr(found)


def test_the_page_draws_the_weights_over_the_image(folder: Path, flag: Path, tmp_path: Path) -> None:  # noqa: F811
    page = tmp_path / "norway.html"
    asked = ["explain", str(folder / "bundle"), "Norway", "--image", str(flag)]
    assert CliRunner().invoke(cli, asked).exit_code == 2
    done = CliRunner().invoke(cli, [*asked, "--html", str(page)])
    assert done.exit_code == 0, done.output
    html = page.read_text(encoding="utf-8")
    assert html.count("<rect ") == 16
    with mmkg_sdk.Model.load(folder / "bundle", device="cpu") as model:
        found = model.explain_entity("Norway")
    cells = [float(line.split("</title>")[0].split(": ")[1]) for line in html.split("<title>row")[1:]]
    assert sum(cells) == pytest.approx(sum(one.weight for one in found.tokens if one.place), abs=1e-3)
    with images.open(pictured(page, tmp_path, 900, 1200)) as shown:
        assert len(set(shown.convert("RGB").resize((90, 120)).getdata())) > 30
    with mmkg_sdk.Model.load(folder / "bundle", device="cpu") as model:
        without = model.entities[int(model.bundle.inputs["visual_mask"].all(axis=1).argmax())]
    asked = ["explain", str(folder / "bundle"), without, "--image", str(flag), "--html", str(page)]
    with pytest.raises(QueryError, match=f"no token of {without!r} has a place"):
        CliRunner().invoke(cli, asked, catch_exceptions=False)
