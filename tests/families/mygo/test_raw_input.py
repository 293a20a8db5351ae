"""Words and pictures in place of tokens: the tokens of the training data, to the last id, without torch."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk import Model
from mmkg_sdk.answering.new_entities import add_to_bundle
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.errors import BundleError, DataError, QueryError
from mmkg_sdk.families.mygo.runtime import entity_batch
from mmkg_sdk.families.raw_input import MOST_CHARACTERS, MOST_IMAGES
from mmkg_sdk.modalities.stored_tokenizers import TOKENIZERS
from tests.cli.running import ask
from tests.docs.pages import blocks
from tests.families import raw_bundles

images = pytest.importorskip("PIL.Image", reason="images need pillow")
pytest.importorskip("sklearn", reason="learned image tokens need scikit-learn")
pytest.importorskip("tokenizers", reason="texts need tokenizers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raw_bundles.raw_mygo(tmp_path_factory)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Model]:
    with Model.load(folder / "bundle", device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def flag(folder: Path) -> Path:
    return folder / "raw" / "images" / "Norway.png"


def raw_inputs(folder: Path, labels: Any) -> dict[str, Any]:
    """What is said and shown of every entity, None where nothing is."""
    dataset = read_dataset(folder / "raw")
    files = find_entity_images(folder / "raw" / "images", dataset)
    texts = [dataset.descriptions.get(label) for label in labels]
    half = [
        text[: len(text) // 2] if text and label[0] < "N" else None for label, text in zip(labels, texts, strict=True)
    ]
    return {"texts": {"text": texts, "half": half}, "images": [files.get(label) for label in labels]}


def test_every_entity_has_the_tokens_of_the_training_data(folder: Path, model: Model) -> None:
    given = raw_inputs(folder, model.entities)
    assert sum(one is None for one in given["images"]) > 500
    assert 100 < sum(one is None for one in given["texts"]["half"]) < 600
    found = entity_batch(model.bundle, **given).arrays
    for name in ("visual", "text", "half"):
        mask = model.bundle.inputs[f"{name}_mask"]
        np.testing.assert_array_equal(found[f"{name}_mask"], mask)
        np.testing.assert_array_equal(found[f"{name}_tokens"][~mask], model.bundle.inputs[f"{name}_tokens"][~mask])
        assert not mask.all()


def test_every_entity_has_the_vector_of_the_table(folder: Path, model: Model) -> None:
    structure = model.bundle.inputs["structure"]
    found = model.encode_entities(**raw_inputs(folder, model.entities), structure=structure)
    np.testing.assert_allclose(found, model.table, rtol=1e-4, atol=1e-5)


def test_a_twin_that_is_added_ranks_beside_the_first(folder: Path, flag: Path) -> None:
    with Model.load(folder / "bundle", device="cpu") as own:
        row = own.entities.find("Norway")
        given = raw_inputs(folder, ["Norway"])
        (twin,) = own.add_entities(["twin"], **given, structure=own.bundle.inputs["structure"][row : row + 1])
        scores = own.score_tails("Oslo", "capital")[0]
        assert scores[twin] == pytest.approx(scores[row], rel=1e-4)


def test_a_saved_bundle_takes_words_and_pictures_as_the_one_that_it_grew_from(
    folder: Path, flag: Path, tmp_path: Path
) -> None:
    given = {"texts": ["A country in the north."], "images": [flag]}
    with Model.load(folder / "bundle", device="cpu") as own:
        own.add_entities(["new"], **given)
        own.save(tmp_path / "grown")
        with Model.load(tmp_path / "grown", device="cpu") as saved:
            assert saved.encode_entities(**given).tobytes() == own.encode_entities(**given).tobytes()
            saved.add_entities(["twin"], **given)
            np.testing.assert_array_equal(saved.entity_vectors("twin"), own.entity_vectors("new"))
            said = saved.explain_entity("twin")
            assert said.tokens == own.explain_entity("new").tokens
            assert "north" in {token.text for token in said.tokens}


def test_a_picture_comes_in_any_form(model: Model, flag: Path) -> None:
    picture = images.open(flag).convert("RGB")
    file = io.BytesIO()
    picture.save(file, "bmp")
    forms = [flag, str(flag), flag.read_bytes(), file.getvalue(), np.asarray(picture), picture, [flag]]
    vectors = model.encode_entities(images=forms)
    np.testing.assert_array_equal(vectors, vectors[:1].repeat(len(forms), axis=0))
    stacked = model.encode_entities(images=np.stack([np.asarray(picture)] * 2))
    np.testing.assert_allclose(stacked, vectors[:2], rtol=1e-5, atol=1e-6)
    assert not np.allclose(vectors[0], model.encode_entities(images=[None])[0], atol=1e-4)


def test_grey_and_transparent_arrays_are_pictures(model: Model) -> None:
    grey = np.random.default_rng(4).integers(0, 256, (20, 30), dtype=np.uint8)
    colours = grey[..., None].repeat(3, axis=2)
    clear = np.concatenate([colours, np.full((20, 30, 1), 255, np.uint8)], axis=2)
    vectors = model.encode_entities(images=[grey, colours, clear, colours[::-1][::-1]])
    np.testing.assert_array_equal(vectors, vectors[:1].repeat(4, axis=0))


def test_several_pictures_are_one_list_as_in_training(model: Model, flag: Path) -> None:
    other = flag.with_name("Japan.png")
    tokenizer = mmkg_sdk.families.raw_input.read_tokenizers(model.bundle, {})["visual"]
    both = [token for path in (flag, other, flag) for token in tokenizer.tokens(images.open(path).convert("RGB"))]
    # The flag that is there twice has its tokens twice, so they are the most frequent ones.
    wanted = sorted(both[:6])
    found = entity_batch(model.bundle, images=[[flag, other, flag]]).arrays["visual_tokens"][0]
    np.testing.assert_array_equal(found, wanted)


def test_what_is_left_out_is_missing_and_tokens_may_stand_beside(model: Model, flag: Path) -> None:
    words = ["A country in the north."]
    alone = model.encode_entities(texts=words)
    for given in ({"images": [None]}, {"images": [[]]}, {"tokens": {"half": [[]], "visual": [[]]}}):
        np.testing.assert_array_equal(model.encode_entities(texts=words, **given), alone)
    blank = model.encode_entities(texts=[None, "", " \n"])
    nothing = model.encode_entities(tokens={"visual": [[]] * 3, "text": [[]] * 3, "half": [[]] * 3})
    np.testing.assert_array_equal(blank, nothing)
    with pytest.raises(QueryError, match="visual tokens are given, and what they would be made of, too"):
        model.encode_entities(images=[flag], tokens={"visual": [[1]]})


def test_no_entities_are_none(model: Model) -> None:
    assert model.encode_entities(texts=[], images=[]).shape == (0, 16)


def bomb() -> bytes:
    """A PNG of a gigabyte of pixels, in a few kilobytes."""
    file = io.BytesIO()
    images.new("1", (30_000, 30_000)).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (b"no image", "cannot identify"),
        (b"", "cannot identify"),
        (np.empty((0, 0, 3), np.uint8), "uint8 .0, 0, 3.; expected uint8"),
        (np.zeros((4, 4, 3), np.float32), "float32 .4, 4, 3.; expected uint8"),
        (np.zeros((4, 4, 2), np.uint8), "expected uint8"),
        (np.zeros(5, np.uint8), "expected uint8"),
        (7, "int is no picture"),
        ({"a": 1}, "dict is no picture"),
        (Path("absent.png"), "absent.png"),
        ("a\0b.png", "null"),
        ([None], "NoneType is no picture"),
        ([[b""]], "list is no picture"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_place(model: Model, flag: Path, picture: Any, reason: str) -> None:
    with pytest.raises(QueryError, match=rf"image 0 of entity 1.* cannot be read: .*{reason}"):
        model.encode_entities(images=[flag, picture])


def test_hostile_files_are_refused(model: Model, flag: Path, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"cannot be read: .*decompression bomb"):
        model.encode_entities(images=[bomb()])
    with pytest.raises(QueryError, match="irectory"):
        model.encode_entities(images=[tmp_path])
    cut = tmp_path / "cut.png"
    cut.write_bytes(flag.read_bytes()[:200])
    with pytest.raises(QueryError, match=r"image 1 of entity 0 .*cut\.png"):
        model.encode_entities(images=[[flag, cut]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"texts": "Oslo"}, "texts of text is 'Oslo'; expected a list"),
        ({"texts": 3}, "texts of text is 3; expected a list"),
        ({"texts": [b"Oslo"]}, "text of entity 0 is b'Oslo' .bytes.; expected a string"),
        ({"texts": ["x", 1.5]}, "text of entity 1 is 1.5 .float."),
        ({"texts": ["\ud800"]}, "surrogate"),
        ({"texts": ["x" * (MOST_CHARACTERS + 1)]}, "1,000,001 characters; expected at most 1,000,000"),
        ({"texts": {"klingon": ["x"]}}, "texts has 'klingon'; the modalities of this model are visual, text, half"),
        ({"texts": {"visual": ["x"]}}, "does not hold what made its visual tokens of texts"),
        ({"images": b"x"}, "images is b'x'; expected a list"),
        ({"images": np.zeros((4, 4, 3), np.uint8)}, "an array .4, 4, 3.; expected a list"),
        ({"images": [[b"x"] * (MOST_IMAGES + 1)]}, "entity 0 has 1,001 images; expected at most 1,000"),
        ({"texts": ["x"], "images": [None, None]}, "texts and images of 1 and 2 entities"),
        ({"texts": ["x"], "tokens": {"visual": [[], []]}}, "entities and .* tokens of"),
    ],
)
def test_what_does_not_fit_is_refused(model: Model, given: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        model.encode_entities(**given)


def test_a_bundle_of_ready_made_tokens_says_how_to_make_one_that_takes_words(golden_bundle: Path, flag: Path) -> None:
    with Model.load(golden_bundle, device="cpu") as own:
        with pytest.raises(QueryError, match=r"does not hold what made its text tokens.* `mmkg-sdk data tokenize"):
            own.encode_entities(texts=["a word"])
        with pytest.raises(QueryError, match=r"does not hold what made its visual tokens.* learned-views"):
            own.add_entities(["a picture"], images=[flag])


def test_a_tokenizer_of_another_codebook_is_refused(folder: Path) -> None:
    bundle = Bundle.open(folder / "bundle")
    from mmkg_sdk.families.mygo.runtime import check_bundle

    config = dataclasses.replace(bundle.config, text_codebook_rows=bundle.config.text_codebook_rows + 1)
    other = dataclasses.replace(bundle, manifest={**bundle.manifest, "config": config.to_json()}, made={})
    with pytest.raises(BundleError, match=r"the tokenizer of 'text' has .* tokens, the codebook"):
        check_bundle(other)


def test_a_damaged_tokenizers_file_is_refused(folder: Path) -> None:
    bundle = Bundle.open(folder / "bundle")
    from mmkg_sdk.families.mygo.runtime import check_bundle

    cut = dataclasses.replace(bundle, files={**bundle.files, TOKENIZERS: bundle.files[TOKENIZERS][:-1]}, made={})
    with pytest.raises(BundleError, match="holds no tokenizers"):
        check_bundle(cut)


def test_the_snippet_of_the_documents_runs(
    folder: Path, flag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = [text for _, text in blocks("docs/answering.md", "py") if "views/bundle" in text]
    monkeypatch.chdir(tmp_path)
    picture = images.open(flag)
    picture.save("cat.png")
    known = {"png_bytes": flag.read_bytes(), "pixels": np.asarray(picture), "pillow_image": picture}
    exec("import mmkg_sdk\n" + snippet.replace('"views/bundle"', repr(str(folder / "bundle"))), known)
    with known["model"] as grown:
        assert grown.entities[-2:] == ("grinning cat", "violin")


def test_the_command_adds_words_and_pictures(folder: Path, model: Model, flag: Path, tmp_path: Path) -> None:
    (tmp_path / "images" / "B").mkdir(parents=True)
    for place in ("A.png", "B/1.png"):
        (tmp_path / "images" / place).write_bytes(flag.read_bytes())
    table = tmp_path / "new.tsv"
    table.write_text("label\ttext\thalf_text\nA\ta red flag\t\nB\t\tred\nC\tblue\t\n")
    options = ["--entities", table, "--images", tmp_path / "images", "--out", tmp_path / "new"]
    ask("bundle", "add", folder / "bundle", *options)
    texts = {"text": ["a red flag", None, "blue"], "half": [None, "red", None]}
    wanted = model.encode_entities(texts=texts, images=[flag, [flag], None])
    with Model.load(tmp_path / "new", device="cpu") as found:
        np.testing.assert_array_equal(found.entity_vectors(["A", "B", "C"]), wanted)
    (tmp_path / "empty").mkdir()
    for images_folder, reason in (("empty", "no picture of any of the 3 new entities"), ("absent", "is not a folder")):
        with pytest.raises(DataError, match=reason):
            add_to_bundle(folder / "bundle", table, tmp_path / "other", images=tmp_path / images_folder)


def test_neither_torch_nor_scikit_learn_is_loaded(folder: Path, flag: Path) -> None:
    program = (
        "import sys, mmkg_sdk\n"
        f"model = mmkg_sdk.load({str(folder / 'bundle')!r}, device='cpu')\n"
        f"model.add_entities(['new'], texts=['a flag with a cross'], images=[{str(flag)!r}])\n"
        "assert model.predict_heads('capital', 'new', k=1)\n"
        "sys.exit(f'loaded {found}' if (found := {'torch', 'sklearn', 'transformers'} & set(sys.modules)) else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
