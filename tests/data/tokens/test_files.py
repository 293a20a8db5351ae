"""Official and own token files: the right codebook and constants, and clear errors for what does not fit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mmkg_sdk.data import read_dataset, write_dataset
from mmkg_sdk.data.tokens.inputs import select_tokens
from mmkg_sdk.errors import DataError
from tests.places import REAL_DATA

from ..folders import small_dataset, small_mygo, write_files
from .test_inputs import CASES

torch = pytest.importorskip("torch", reason="codebooks of MyGO are torch files")


def save_codebook(path, rows=5, width=2, *, parameter=True):
    values = torch.arange(rows * width, dtype=torch.float32).reshape(rows, width)
    torch.save(torch.nn.Parameter(values) if parameter else values, path)
    return values.numpy()


def with_tokens(folder, files, codebooks=()):
    write_files(small_mygo(folder), {name: json.dumps(content) for name, content in files.items()})
    for name in codebooks:
        save_codebook(folder / name)
    return folder


@pytest.mark.parametrize(
    ("file", "codebook", "modality", "expected"),
    [
        ("S-visual.json", "visual.pth", "visual", ("beit", 8192, 8191)),
        ("S-visual-vqgan.json", "visual_vqgan.pth", "visual", ("vqgan", 1024, 1023)),
        ("S-textual.json", "textual.pth", "text", ("bert", 30522, 14999)),
        ("S-textual-v2.json", "textual.pth", "text", ("bert", 30522, 14999)),
        ("S-textual-roberta.json", "textual_roberta.pth", "text", ("roberta", 30522, 14999)),
        ("S-textual-llama.json", "textual-llama.pth", "text", ("llama", 30522, 14999)),
        ("S-textual.json", "textual_roberta.pth", "text", ("roberta", 30522, 14999)),
        ("S_visual.json", "visual.pth", "visual", ("beit", 8192, 8191)),
        ("visual.json", "visual.pth", "visual", ("beit", 8192, 8191)),
        ("S_visual_vqgan.json", "visual_vqgan.pth", "visual", ("vqgan", 1024, 1023)),
        ("textual.json", "textual.pth", "text", ("bert", 30522, 14999)),
    ],
)
def test_official_files_bring_their_constants(tmp_path, file, codebook, modality, expected):
    folder = with_tokens(tmp_path, {file: {"1": [3, 3, 4], "0": []}}, [codebook])
    raw = read_dataset(folder).tokens[modality]
    assert (raw.tokenizer, raw.vocabulary_size, raw.pad_id) == expected
    assert list(raw.lists.items()) == [("B", [3, 3, 4]), ("A", [])]
    assert raw.codebook.tolist() == np.arange(10.0).reshape(5, 2).tolist()
    assert raw.codebook.dtype == np.float32


def test_keys_may_be_the_names_of_entity2id(tmp_path):
    key = "<http://dbpedia.org/resource/C>"
    folder = with_tokens(tmp_path, {"S-visual.json": {key: [1]}}, ["visual.pth"])
    assert read_dataset(folder).tokens["visual"].lists == {"C": [1]}


def test_a_title_that_looks_like_an_id_is_read_by_the_spelling_of_the_whole_file(tmp_path):
    folder = small_mygo(tmp_path, entity2id_txt="1984 0\nOrwell 1\nC 2\nD 3\n")
    save_codebook(folder / "visual.pth")
    write_files(folder, {"S-visual.json": json.dumps({"1984": [1], "Orwell": [2]})})
    assert read_dataset(folder).tokens["visual"].lists == {"1984": [1], "Orwell": [2]}


@pytest.mark.parametrize("case", ["db15k_beit_bert", "mkgw_beit_bert", "db15k_vqgan_llama"])
def test_golden_token_files_select_the_golden_rows_through_the_reader(tmp_path, case):
    folder = tmp_path / case
    shutil.copytree(CASES / case, folder)
    config = json.loads((folder / "config.json").read_text())
    write_files(folder, {"train.txt": "0\t0\t1\n", "valid.txt": "", "test.txt": "", "relations.txt": "0\n"})
    rows = {"beit": ("visual.pth", 8193), "vqgan": ("visual_vqgan.pth", 1024)}[config["visual_tokenizer"]]
    save_codebook(folder / rows[0], rows[1])
    rows = {"bert": ("textual.pth", 30522), "llama": ("textual_llama.pth", 32000)}[config["text_tokenizer"]]
    save_codebook(folder / rows[0], rows[1])

    dataset = read_dataset(folder)

    expected = np.load(folder / "outputs.npz")
    visual = select_tokens(dataset.tokens["visual"], dataset.graph.entities, config["max_vis_token"])
    text = select_tokens(dataset.tokens["text"], dataset.graph.entities, config["max_txt_token"])
    np.testing.assert_array_equal(visual.index, expected["visual_token_index"])
    np.testing.assert_array_equal(visual.mask, expected["visual_mask"])
    np.testing.assert_array_equal(text.index, expected["text_token_index"])
    np.testing.assert_array_equal(text.mask, expected["text_mask"])


def test_two_candidates_are_listed_and_a_choice_settles_it(tmp_path):
    files = {"S-visual.json": {"0": [1]}, "S-visual-vqgan.json": {"0": [2]}}
    folder = with_tokens(tmp_path, files, ["visual.pth", "visual_vqgan.pth"])
    with pytest.raises(DataError, match=r"S-visual.json \(beit\), S-visual-vqgan.json \(vqgan\)"):
        read_dataset(folder)
    assert read_dataset(folder, visual="vqgan").tokens["visual"].lists == {"A": [2]}
    assert read_dataset(folder, visual="S-visual.json").tokens["visual"].lists == {"A": [1]}
    with pytest.raises(DataError, match="no visual tokens 'clip'"):
        read_dataset(folder, visual="clip")


def test_one_text_file_with_two_codebooks_needs_a_choice(tmp_path):
    folder = with_tokens(tmp_path, {"S-textual.json": {"0": [1]}}, ["textual.pth", "textual_roberta.pth"])
    with pytest.raises(DataError, match=r"S-textual.json \(bert\), S-textual.json \(roberta\)"):
        read_dataset(folder)
    assert read_dataset(folder, text="roberta").tokens["text"].tokenizer == "roberta"


def test_tokens_may_lie_in_another_folder(tmp_path):
    tokens = write_files(tmp_path / "tokens", {"S-visual.json": '{"0": [1]}'})
    save_codebook(tokens / "visual.pth", parameter=False)
    assert read_dataset(small_mygo(tmp_path / "set"), tokens=tokens).tokens["visual"].lists == {"A": [1]}


MALFORMED = {
    "cut off": ('{"0": [1, 2', r"S-visual.json:1: not valid JSON"),
    "a list": ("[1, 2]", "expected one JSON object, found list"),
    "not ids": ('{"0": [1, 2.5]}', "'0' must have a list of whole numbers"),
    "booleans": ('{"0": [true]}', "'0' must have a list of whole numbers"),
    "a text": ('{"0": "12"}', "'0' must have a list of whole numbers"),
    "negative": ('{"0": [-1]}', "'0' has a token id outside"),
    "huge": (f'{{"0": [{10**30}]}}', "'0' has a token id outside"),
    "beyond all digits": ('{"0": [' + "9" * 5000 + "]}", "JSON that cannot be read"),
    "deep": ("[" * 200_000, "JSON that cannot be read"),
    "key twice": ('{"0": [1], "0": [2]}', "key '0' stands there twice"),
    "unknown entity": ('{"0": [1], "77": [2]}', r"entity '77' \(name 2 of 2\) is not in the data set"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_token_file_is_named(tmp_path, case):
    content, message = MALFORMED[case]
    folder = write_files(small_mygo(tmp_path), {"S-visual.json": content})
    save_codebook(folder / "visual.pth")
    with pytest.raises(DataError, match=message):
        read_dataset(folder)


def test_a_token_file_without_codebook_names_the_one_it_needs(tmp_path):
    with pytest.raises(DataError, match=r"needs its codebook visual_vqgan.pth"):
        read_dataset(with_tokens(tmp_path, {"S-visual-vqgan.json": {}}))


def test_a_zipped_token_file_is_not_taken_for_an_absent_modality(tmp_path):
    folder = write_files(small_mygo(tmp_path), {"S-visual.json.zip": b"PK"})
    with pytest.raises(DataError, match=r"unzip S-visual.json.zip"):
        read_dataset(folder)


class Dangerous:
    def __reduce__(self):
        return (print, ("this must never run",))


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"weight": 1}, "holds a dict"),
        (Dangerous(), "cannot be loaded as a plain tensor"),
        (torch.zeros(3), "codebook is float32 \\[3\\]"),
        (torch.zeros((3, 2), dtype=torch.int64), "codebook is int64"),
        (torch.full((3, 2), float("nan")), "not finite"),
    ],
    ids=["dict", "code", "one axis", "integers", "nan"],
)
def test_a_codebook_that_is_no_tensor_of_rows_is_refused(tmp_path, capsys, saved, message):
    folder = with_tokens(tmp_path, {"S-visual.json": {"0": [1]}})
    torch.save(saved, folder / "visual.pth")
    with pytest.raises(DataError, match=message):
        read_dataset(folder)
    assert "never" not in capsys.readouterr().out


def test_a_truncated_codebook_is_refused(tmp_path):
    folder = with_tokens(tmp_path, {"S-visual.json": {"0": [1]}}, ["visual.pth"])
    content = (folder / "visual.pth").read_bytes()
    (folder / "visual.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cannot be loaded"):
        read_dataset(folder)


def test_half_precision_codebooks_become_float32(tmp_path):
    folder = with_tokens(tmp_path, {"S-visual.json": {"0": [1]}})
    torch.save(torch.ones((3, 2), dtype=torch.bfloat16), folder / "visual.pth")
    assert read_dataset(folder).tokens["visual"].codebook.dtype == np.float32


def test_the_published_visual_codebooks_load(tmp_path):
    if not (REAL_DATA / "codebooks").is_dir():
        pytest.skip("the published codebooks are not on this machine")
    files = {"S-visual.json": {"0": [8191]}, "S-visual-vqgan.json": {"0": [1023]}}
    folder = with_tokens(tmp_path, files)
    for name in ("visual.pth", "visual_vqgan.pth"):
        shutil.copy(REAL_DATA / "codebooks" / name, folder / name)
    assert read_dataset(folder, visual="beit").tokens["visual"].codebook.shape == (8193, 32)
    assert read_dataset(folder, visual="vqgan").tokens["visual"].codebook.shape == (1024, 256)


@pytest.fixture
def own(tmp_path):
    write_dataset(small_dataset(), tmp_path / "small")
    return tmp_path / "small"


def test_own_and_official_files_together_are_two_candidates(own):
    write_files(own, {"S-visual.json": "{}"})
    with pytest.raises(DataError, match=r"visual-tokens.json \(own\), S-visual.json \(beit\)"):
        read_dataset(own)


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ({"format_version": 3}, "format_version 3, expected 1 or 2"),
        ({"format_version": 1}, "'visual' must give tokenizer"),
        (
            {"format_version": 1, "visual": {"tokenizer": "x", "vocabulary_size": "4", "pad_id": 3}},
            "'visual' must give",
        ),
    ],
)
def test_notes_that_do_not_fit_are_an_error(own, notes, message):
    write_files(own, {"tokens.json": json.dumps(notes)})
    with pytest.raises(DataError, match=message):
        read_dataset(own)


def test_own_codebooks_are_checked(own):
    path = own / "codebooks.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    with pytest.raises(DataError, match="not a valid safetensors file"):
        read_dataset(own)
    path.unlink()
    with pytest.raises(DataError, match=r"codebooks.safetensors is missing"):
        read_dataset(own)
