"""`mmkg-sdk data`: answers on stdout, talk on stderr, and the same words as the library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mmkg_sdk.cli.commands.data import data
from mmkg_sdk.data import read_dataset, tokenize_dataset, write_dataset
from mmkg_sdk.errors import DataError
from tests.cli.running import mmkg
from tests.data.folders import own_linking, own_relations, small_dataset, small_mygo, write_files
from tests.places import REAL_DATA


def call(*arguments):
    return CliRunner().invoke(data, [str(argument) for argument in arguments])


@pytest.fixture
def small(tmp_path):
    write_dataset(small_dataset(), tmp_path / "small")
    return tmp_path / "small"


def test_inspect_counts_triples_and_coverage(small):
    result = call("inspect", small, "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["name"], answer["entities"], answer["relations"]) == ("small", 3, 2)
    assert (answer["train"], answer["valid"], answer["test"], answer["descriptions"]) == (2, 1, 0, 2)
    assert answer["visual"]["entities"] == 2
    assert answer["visual"]["coverage"] == pytest.approx(2 / 3)
    assert answer["visual"]["tokens_per_entity"] == 2.0
    assert answer["text"]["codebook_rows"] == 3


def test_inspect_without_json_is_a_table(small):
    result = call("inspect", small)
    assert result.exit_code == 0
    assert "train                     2" in result.stdout
    assert "tokenizer patches" in result.stdout


def test_inspect_describes_mentions_and_sentences(tmp_path):
    answer = json.loads(call("inspect", own_linking(tmp_path / "mentions"), "--json").stdout)
    assert (answer["kind"], answer["entities"], answer["ambiguous_mentions"]) == ("entity-linking", 3, 1)
    classes = "".join(f"class {k}\n" for k in range(8))
    folder = own_relations(tmp_path / "sentences", {"relations.txt": f"none\n/per/loc/lives_in\n{classes}"})
    (folder / "images").rename(tmp_path / "images")
    text = call("inspect", folder, "--images", tmp_path).stdout
    assert "kind                      relation-extraction" in text
    assert "\nlabel_counts\n           1  none\n           1  /per/loc/lives_in\n           0  class 0\n" in text
    assert "sentences_with_image      1" in text


def test_warnings_go_to_stderr_and_the_answer_stays_json(tmp_path):
    folder = small_mygo(tmp_path, train_txt="head\trelation\ttail\n0\t0\t1\n")
    done = mmkg("data", "inspect", folder, "--json")
    assert json.loads(done.stdout)["train"] == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Warning: {folder / 'train.txt'}:1: 'head relation tail' is taken for names of columns")


def test_inspect_says_what_is_odd(tmp_path):
    folder = small_mygo(tmp_path, train_txt="0\t0\t1\n0\t0\t1\n")
    remark = "train: 1 of 2 triples repeat an earlier one; they are kept."
    assert json.loads(call("inspect", folder, "--json").stdout)["remarks"][0] == remark
    assert f"\nremarks\n  {remark}\n" in call("inspect", folder).stdout


def test_an_error_of_the_library_is_left_to_the_main_group(tmp_path):
    result = call("inspect", tmp_path)
    assert isinstance(result.exception, DataError)


def test_tokenize_writes_a_data_set_that_reads_again(tmp_path):
    images = pytest.importorskip("PIL.Image", reason="images need pillow")
    pytest.importorskip("sklearn", reason="learned patches need scikit-learn")
    folder = small_mygo(tmp_path / "set")
    texts = write_files(tmp_path, {"texts.tsv": "A\tred stone\nB\tblue stone\n"}) / "texts.tsv"
    (folder / "images").mkdir()
    images.new("RGB", (4, 4), "red").save(folder / "images" / "A.png")
    (folder / "images" / "B.png").write_text("no image")

    with pytest.warns(UserWarning, match=r"B\.png of 'B' is left out"):
        result = call("tokenize", folder, "--out", tmp_path / "out", "--texts", texts, "--json")

    assert result.exit_code == 0, result.exception
    answer = json.loads(result.stdout)
    assert answer["folder"] == str(tmp_path / "out")
    assert answer["text"]["entities"] == 2
    assert answer["visual"]["entities"] == 1
    dataset = read_dataset(tmp_path / "out")
    assert dataset.descriptions["B"] == "blue stone"
    assert set(dataset.tokens["visual"].lists) == {"A"}


def test_texts_of_an_unknown_entity_are_an_error(tmp_path):
    texts = write_files(tmp_path, {"texts.tsv": "Nobody\ttext\n"}) / "texts.tsv"
    result = call("tokenize", small_mygo(tmp_path / "set"), "--out", tmp_path / "out", "--texts", texts)
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "out").exists()


def test_the_choice_between_token_files_reaches_the_reader(tmp_path):
    torch = pytest.importorskip("torch", reason="codebooks of MyGO are torch files")
    tokens = write_files(tmp_path / "tokens", {"S-visual.json": '{"0": [1]}', "S-visual-vqgan.json": "{}"})
    for name in ("visual.pth", "visual_vqgan.pth"):
        torch.save(torch.ones(5, 2), tokens / name)
    folder = small_mygo(tmp_path / "set", valid_txt="0\t0\t1\n0\t0\t1\n")
    options = ("--tokens", tokens, "--visual", "beit", "--json")
    answer = json.loads(call("inspect", folder, *options).stdout)
    assert answer["visual"]["tokenizer"] == "beit"
    assert answer["valid"] == 2


def test_the_atlas_can_be_tokenized_anew(tmp_path):
    pytest.importorskip("PIL", reason="the atlas draws its images with pillow")
    pytest.importorskip("sklearn", reason="learned patches need scikit-learn")
    result = call("tokenize", "atlas", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["visual"]["tokenizer"] == "learned-patches"
    assert len(read_dataset(tmp_path / "out").graph.train) > 0


def test_nothing_to_tokenize_is_an_error(tmp_path):
    dataset = read_dataset(small_mygo(tmp_path))
    with pytest.raises(DataError, match="nothing to tokenize"):
        tokenize_dataset(dataset, images=None)


def test_fetch_takes_an_offline_copy_and_inspect_finds_it_by_name(tmp_path):
    if not (REAL_DATA / "MKG-Y").is_dir():
        pytest.skip("the real data set MKG-Y is not on this machine")
    result = call("fetch", "mkg-y", "--from", REAL_DATA / "MKG-Y", "--cache", tmp_path)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "mkg-y")
    answer = json.loads(call("inspect", "mkg-y", "--cache", tmp_path, "--json").stdout)
    assert (answer["name"], answer["train"]) == ("mkg-y", 21310)


def test_help_names_every_option():
    text = call("tokenize", "--help").output
    for option in ("--out", "--text-model", "--image-model", "--images", "--texts", "--cache", "--json"):
        assert option in text


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys, mmkg_sdk.data, mmkg_sdk.cli.commands.data;"
        "heavy = {'torch', 'transformers', 'PIL', 'sklearn', 'scipy', 'tokenizers', 'safetensors'} & "
        "set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
