"""Tokenizers: against the classes of transformers on real and hostile texts, and as files."""

from __future__ import annotations

import ast
import hashlib
import json
import lzma
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmkg_sdk.errors import BackendError, DataError, QueryError
from mmkg_sdk.modalities import text
from mmkg_sdk.modalities.tokenizer_rules import BERT_TOKENS, CLIP_TOKENS
from tests.places import ROOT

pytest.importorskip("tokenizers", reason="texts need tokenizers")
DATA = ROOT.parent / "shared" / "data"
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,'!?<>/é"]
SMALL = [*BERT_TOKENS, *LETTERS, *(f"##{letter}" for letter in LETTERS), "hello", "world", "##ing", "ς", "猫"]
TEXTS = ["Hello, wörld! It's singing.", "", "猫 and 犬", "x" * 101, "one [MASK] two[SEP]three [mask]", "a\x00b\u200bc"]
HOSTILE = [
    "",
    " \n\t\u2028",
    "\x00",
    "word " * 10_000,
    "x" * 50_000,
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "שלום עולם مرحبا \u202eabc\u202c",
    "a\u0301\u0301\u0301 Å \ufb01 \u1e9b\u0323",
    "\ufeff\ufffd\ufffe\U0010ffff",
    "##a </w> a</w>",
]
# What the tokenizers of transformers take for special tokens and ours for what it is, a text.
SPELLED = ("<|startoftext|>", "<|endoftext|>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "<s>", "</s>")
# Characters that every Unicode version since 8 classes alike; a word-final capital sigma is documented to differ.
PLAIN = "abzABZ019 .,;!?'\"-_()[]#@/\\\t\n\réÉßøİıσςжЖאעกあア猫한豈—…“№€\U0001f600"
INVISIBLE = "\x00\x1f\x7f\xa0\xad\u0301\u0327\u200b\u200d\u2028\u3000\ufe0f\ufeff\ufffd"
FAMILIAR = st.sampled_from([*PLAIN, *INVISIBLE])


def need_data() -> None:
    if not DATA.is_dir():
        pytest.skip("the public data sets are not beside the repository")


def unpack(name: str) -> str:
    return lzma.decompress((DATA / name).read_bytes()).decode("utf-8")


def real_texts() -> list[str]:
    """Some hundreds of tweets, sentences of Wikipedia, and glosses, spread over the files."""
    need_data()
    tweets = unpack("Twitter-2017/test.txt.xz").split("\n\n")
    found = [" ".join(line.split("\t")[0] for line in tweet.split("\n")[1:]) for tweet in tweets[::4]]
    found += [" ".join(ast.literal_eval(line)["token"]) for line in unpack("MNRE/mnre_test.txt.xz").splitlines()[::8]]
    found += [item["sentence"] for item in list(json.loads(unpack("WikiMEL/Wikidata-MEL.json.xz")).values())[::60]]
    found += list(json.loads(unpack("WikiMEL/qid2abs.json.xz")).values())[::120]
    found += [line.split("\t")[1] for line in unpack("WN18/entity2text.txt.xz").splitlines()[::150]]
    assert len(found) > 1000
    return found


@pytest.fixture(scope="module")
def bert_vocabulary() -> list[str]:
    need_data()
    return unpack("vocab/bert-base-uncased-vocab.txt.xz").split("\n")[:-1]


@pytest.fixture(scope="module")
def merges() -> list[tuple[str, str]]:
    need_data()
    return text.clip_merges(DATA / "vocab" / "bpe_simple_vocab_16e6.txt.gz")


@pytest.fixture(scope="module")
def clip(merges):
    return text.clip_tokenizer(text.clip_vocabulary(merges), merges)


@pytest.fixture(scope="module")
def their_clip(merges):
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    return transformers.CLIPTokenizer({token: row for row, token in enumerate(text.clip_vocabulary(merges))}, merges)


@pytest.fixture(scope="module")
def learned_clip():
    return text.learn_clip_tokenizer([*TEXTS, "the whale sings", "the whales sang"] * 3, 560)


def slow_bert(vocabulary: list[str], folder: Path, added: tuple[str, ...] = ()):
    """The original tokenizer in Python, which transformers keeps."""
    legacy = pytest.importorskip(
        "transformers.models.bert.tokenization_bert_legacy", reason="this transformers has no slow BERT tokenizer"
    )
    path = folder / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    tokenizer = legacy.BertTokenizerLegacy(str(path))
    if added:
        tokenizer.add_special_tokens({"additional_special_tokens": list(added)})
    return tokenizer


@pytest.fixture(scope="module")
def small_slow_bert(tmp_path_factory):
    return slow_bert(SMALL, tmp_path_factory.mktemp("small"), ("<s>", "</s>"))


def test_bert_splits_real_texts_like_the_slow_tokenizer(bert_vocabulary, tmp_path):
    slow, texts = slow_bert(bert_vocabulary, tmp_path), real_texts()
    ours = text.piece_ids(text.bert_tokenizer(bert_vocabulary), texts)
    assert ours == [slow.encode(sentence, add_special_tokens=False) for sentence in texts]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FAMILIAR, max_size=30).map("".join))
def test_bert_splits_any_text_like_the_slow_tokenizer(small_slow_bert, sentence):
    ours = text.piece_ids(text.bert_tokenizer(SMALL, ("<s>", "</s>")), [sentence])[0]
    assert ours == small_slow_bert.encode(sentence, add_special_tokens=False)


@pytest.mark.parametrize("spelled", SPELLED)
def test_a_text_that_spells_a_special_token_is_a_text(spelled, clip, learned_clip, bert_vocabulary, tmp_path):
    bert = text.bert_tokenizer(bert_vocabulary, ("<s>", "</s>"))
    for tokenizer, special in ((clip, text.CLIP_TOKENS), (learned_clip, text.CLIP_TOKENS), (bert, SPELLED[2:])):
        (tmp_path / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
        for one in (tokenizer, text.read_tokenizer(tmp_path / "tokenizer.json")):
            pieces = [one.id_to_token(piece) for piece in text.piece_ids(one, [f"a {spelled} b {spelled.upper()}"])[0]]
            assert not {*special} & {*pieces}
            assert len(pieces) > 6
    ids, mask, _ = text.encode_clip(clip, [f"a {spelled} b"], 40)
    assert [int(i) for i in np.flatnonzero(ids[0] >= 49406)][:2] == [0, mask.sum() - 1], "it ends where the text ends"


def test_bert_file_is_the_one_that_transformers_writes():
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    theirs = transformers.BertTokenizer({token: row for row, token in enumerate(SMALL)})
    ours = text.bert_tokenizer(SMALL)
    assert json.loads(ours.to_str()) == json.loads(theirs.backend_tokenizer.to_str())
    for sentence in (*TEXTS, *HOSTILE):
        if any(token in sentence for token in SPELLED):
            continue
        assert text.piece_ids(ours, [sentence])[0] == theirs.encode(sentence, add_special_tokens=False)


def test_clip_file_is_the_one_that_transformers_writes(clip, their_clip):
    assert json.loads(clip.to_str()) == json.loads(their_clip.backend_tokenizer.to_str())


def test_clip_gives_the_published_ids(clip):
    # From the documentation of CLIP: "a photo of a cat".
    ids, mask, _ = text.encode_clip(clip, ["a photo of a cat"], 8)
    assert ids.tolist() == [[49406, 320, 1125, 539, 320, 2368, 49407, 49407]]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 1, 1, 0]]


@pytest.mark.parametrize("length", [2, 3, 40, 77])
def test_clip_encodes_real_and_hostile_texts_like_transformers(clip, their_clip, length):
    texts = [*real_texts(), *HOSTILE, *TEXTS]
    theirs = their_clip(texts, padding="max_length", truncation=True, max_length=length)
    ids, mask, _ = text.encode_clip(clip, texts, length)
    assert ids.dtype == mask.dtype == np.int64
    np.testing.assert_array_equal(ids, theirs["input_ids"])
    np.testing.assert_array_equal(mask, theirs["attention_mask"])
    assert ((ids == 49407) & (mask == 1)).any(axis=1).all()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentence=st.text(max_size=40), length=st.integers(2, 50))
def test_clip_encodes_any_text_like_transformers(clip, their_clip, sentence, length):
    theirs = their_clip([sentence], padding="max_length", truncation=True, max_length=length)
    ids, mask, _ = text.encode_clip(clip, [sentence], length)
    assert ids.tolist() == theirs["input_ids"]
    assert mask.tolist() == theirs["attention_mask"]


def test_no_texts_are_no_rows(learned_clip):
    ids, mask, _ = text.encode_clip(learned_clip, [], 40)
    assert ids.shape == mask.shape == (0, 40)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec=None)), st.integers(2, 12))
def test_any_string_is_encoded_or_refused(learned_clip, sentence, length):
    size = learned_clip.get_vocab_size()
    halves = any("\ud800" <= char <= "\udfff" for char in sentence)
    try:
        ids, mask, _ = text.encode_clip(learned_clip, [sentence], length)
        pieces = text.piece_ids(text.bert_tokenizer(SMALL), [sentence])[0]
    except QueryError:
        assert halves
        return
    assert not halves
    assert ids.min() >= 0
    assert ids.max() < size
    assert 2 <= mask.sum() <= length
    assert all(0 <= piece < len(SMALL) for piece in pieces)


def test_what_is_no_text_is_refused_with_its_place(learned_clip):
    with pytest.raises(QueryError, match=r"text 1 of 2 holds .* at 3, half of a surrogate pair"):
        text.encode_clip(learned_clip, ["fine", "odd\ud83d"], 40)
    with pytest.raises(QueryError, match="text 0 of 1 is NoneType; expected str"):
        text.piece_ids(text.bert_tokenizer(SMALL), [None])  # type: ignore[list-item]
    with pytest.raises(QueryError, match="text 0 of 1 is tuple"):  # the package would take it for a pair
        text.piece_ids(text.bert_tokenizer(SMALL), [("a", "b")])  # type: ignore[list-item]
    with pytest.raises(QueryError, match="length is 1; expected at least 2"):
        text.encode_clip(learned_clip, ["a"], 1)


def test_the_wrong_kind_of_tokenizer_is_refused():
    with pytest.raises(DataError, match=r"no token <\|startoftext\|>, <\|endoftext\|>"):
        text.encode_clip(text.bert_tokenizer(SMALL), ["a"], 40)


def test_added_tokens_follow_the_vocabulary_and_no_text_is_one():
    tokenizer = text.bert_tokenizer(SMALL, ("<s>", "</s>"))
    first = len(SMALL)
    assert text.token_ids(tokenizer, ["<s>", "</s>"]) == [first, first + 1]
    assert not {first, first + 1} & {*text.piece_ids(tokenizer, ["<s>a</s> b <S>"])[0]}, "what a text spells is a text"


@pytest.mark.parametrize(
    ("vocabulary", "added", "message"),
    [
        ([*SMALL, "a"], (), "'a' stands in the vocabulary twice"),
        (SMALL, ("hello",), "'hello' stands in the vocabulary twice"),
        (SMALL[1:], (), r"lacks \[PAD\]"),
        ([], (), r"lacks \[CLS\], \[MASK\]"),
    ],
)
def test_a_bert_vocabulary_that_cannot_be_is_refused(vocabulary, added, message):
    with pytest.raises(DataError, match=message):
        text.bert_tokenizer(vocabulary, added)


def test_a_clip_vocabulary_that_cannot_be_is_refused():
    with pytest.raises(DataError, match="do not fit the vocabulary"):
        text.clip_tokenizer(text.clip_vocabulary([("a", "b")]), [("ab", "nowhere")])
    with pytest.raises(DataError, match="lacks"):
        text.clip_tokenizer(["a", "b"], [])


def test_merges_come_from_the_original_file_or_a_merges_txt(merges, tmp_path):
    assert len(merges) == 48894
    assert merges[:3] == [("i", "n"), ("t", "h"), ("a", "n")]
    assert len(set(text.clip_vocabulary(merges))) == text.CLIP_VOCABULARY
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + lines, encoding="utf-8")
    assert text.clip_merges(tmp_path / "merges.txt") == merges


def test_damaged_merges_are_refused_with_file_and_line(tmp_path):
    path = tmp_path / "merges.txt"
    with pytest.raises(DataError, match="cannot be read"):
        text.clip_merges(path)
    path.write_text("#version\ni n\nt h\n")
    with pytest.raises(DataError, match="has 2 merges; a vocabulary of 49,408 needs 48,894"):
        text.clip_merges(path)
    assert text.clip_merges(path, 516) == [("i", "n"), ("t", "h")]
    path.write_text("#version\ni n\nthree parts here\n")
    with pytest.raises(DataError, match=r"merges\.txt:3: expected two parts"):
        text.clip_merges(path, 516)
    path.with_suffix(".gz").write_bytes(b"\x1f\x8b\x08 broken")
    with pytest.raises(DataError, match="cannot be read"):
        text.clip_merges(path.with_suffix(".gz"))


def test_a_file_gives_the_same_ids_again(learned_clip, tmp_path):
    path = tmp_path / "tokenizer.json"
    for tokenizer in (learned_clip, text.bert_tokenizer(SMALL, ("<s>",))):
        path.write_text(tokenizer.to_str(), encoding="utf-8")
        again = text.read_tokenizer(path)
        assert again.to_str() == tokenizer.to_str()
        assert text.piece_ids(again, TEXTS) == text.piece_ids(tokenizer, TEXTS)


def test_truncation_and_padding_of_a_file_do_not_count(tmp_path):
    path, tokenizer = tmp_path / "tokenizer.json", text.bert_tokenizer(SMALL)
    plain = text.piece_ids(tokenizer, ["hello " * 9, "a"])
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=6)
    path.write_text(tokenizer.to_str(), encoding="utf-8")
    assert text.piece_ids(text.read_tokenizer(path), ["hello " * 9, "a"]) == plain


def altered(change) -> str:
    content = json.loads(text.bert_tokenizer(SMALL).to_str())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not valid JSON"),
        ("[]", "expected one JSON object"),
        ("{}", "its model is 'missing'; expected WordPiece or BPE"),
        ("[" * 100_000, "cannot be read"),
        (altered(lambda file: file["model"].update(type="Unigram")), "its model is 'Unigram'"),
        (altered(lambda file: file["model"].update(max_input_chars_per_word=10**9)), "max_input_chars_per_word"),
        (altered(lambda file: file.update(model={"type": "BPE", "dropout": 0.5})), "dropout of the model is 0.5"),
        (altered(lambda file: file["model"]["vocab"].update(hello=10**6)), "are not 0 to"),
        (altered(lambda file: file["model"]["vocab"].update(hello=-1)), "no tokenizer"),
        (altered(lambda file: file["model"]["vocab"].update({"\ud800": 1})), "half of a surrogate pair"),
        (altered(lambda file: file["model"].update(vocab=7)), "among its vocabulary"),
        (altered(lambda file: file["added_tokens"].pop()), r"no \[MASK\] among its added tokens"),
        (
            altered(lambda file: file["model"]["vocab"].update({"[unk]": file["model"]["vocab"].pop("[UNK]")})),
            r"no \[UNK\]",
        ),
        (altered(lambda file: file.update(pre_tokenizer={"type": "Metaspace"})), "type 'Metaspace'"),
        (
            altered(
                lambda file: file.update(
                    normalizer={
                        "type": "Sequence",
                        "normalizers": [{"type": "Replace", "pattern": {"Regex": "(a+)+$"}}],
                    }
                )
            ),
            r"Regex '\(a\+\)\+\$', which neither BERT's nor CLIP's",
        ),
        (altered(lambda file: file.update(post_processor={"type": "TemplateProcessing"})), "no tokenizer"),
        (altered(lambda file: file.update(version="9.9")), "no tokenizer"),
    ],
)
def test_a_hostile_file_is_refused(content, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        text.read_tokenizer(path)
    assert "tokenizer.json" in str(caught.value)


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        text.read_tokenizer(tmp_path / "absent.json")
    with pytest.raises(DataError, match="cannot be read"):
        text.read_tokenizer(tmp_path)
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(text.MAX_FILE_BYTES + 1)
    with pytest.raises(DataError, match="has 67,108,865 bytes; a tokenizer has at most"):
        text.read_tokenizer(huge)


@pytest.mark.parametrize("kind", ["bert", "clip"])
def test_a_changed_byte_is_refused_or_gives_a_working_tokenizer(kind, learned_clip, tmp_path):
    content = (learned_clip if kind == "clip" else text.bert_tokenizer(SMALL)).to_str().encode()
    numbers, path = random.Random(0), tmp_path / "tokenizer.json"
    refused = 0
    for _ in range(300):
        changed = bytearray(content)
        changed[numbers.randrange(len(changed))] = numbers.randrange(256)
        path.write_bytes(changed if numbers.random() < 0.7 else changed[: numbers.randrange(len(changed))])
        try:
            tokenizer = text.read_tokenizer(path)
        except DataError:
            refused += 1
            continue
        for pieces in text.piece_ids(tokenizer, TEXTS):
            assert all(0 <= piece < tokenizer.get_vocab_size() for piece in pieces)
    assert refused > 100


def digest_of_learned() -> str:
    texts = [f"{word} number {number} \u00e9\u732b{chr(0x400 + number)}!" for number in range(90) for word in TEXTS[:3]]
    learned = [text.learn_bert_vocabulary(texts, 200), text.learn_clip_tokenizer(texts, 700).to_str()]
    return hashlib.sha256(repr(learned).encode()).hexdigest()


def test_learned_vocabularies_are_the_same_in_every_process():
    program = "from tests.modalities.test_text import digest_of_learned; print(digest_of_learned())"
    found = {digest_of_learned()}
    for seed in ("1", "2", "3"):
        setting = os.environ | {"PYTHONHASHSEED": seed, "TOKENIZERS_PARALLELISM": "true" if seed == "1" else "false"}
        answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=setting, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        found.add(answer.stdout.strip())
    assert len(found) == 1


def test_a_learned_bert_vocabulary_knows_frequent_words_and_all_its_letters():
    texts = ["the whale sings to the other whale", "a goat eats"] * 5
    vocabulary = text.learn_bert_vocabulary(texts, 100)
    assert vocabulary[:5] == list(BERT_TOKENS)
    assert len(vocabulary) <= 100
    assert {"the", "whale", "goat"} <= set(vocabulary)
    pieces = text.piece_ids(text.bert_tokenizer(vocabulary), ["Whale", "hales"])
    assert pieces[0] == [vocabulary.index("whale")]
    assert vocabulary.index("[UNK]") not in pieces[1]


def test_a_learned_clip_tokenizer_knows_every_byte_and_its_end_token_is_the_last(learned_clip):
    size = learned_clip.get_vocab_size()
    assert size <= 560
    assert text.token_ids(learned_clip, CLIP_TOKENS) == [size - 2, size - 1]
    assert len(text.piece_ids(learned_clip, ["whale"])[0]) == 1
    unseen = text.piece_ids(learned_clip, ["\U0001f600Ω"])[0]
    assert unseen
    assert size - 1 not in unseen


def test_nothing_to_learn_from_leaves_the_letters():
    assert text.learn_bert_vocabulary([], 100) == list(BERT_TOKENS)
    assert text.learn_clip_tokenizer([""], 600).get_vocab_size() == 514
    with pytest.raises(DataError, match="too small"):
        text.learn_bert_vocabulary(TEXTS, 19)
    with pytest.raises(DataError, match="at least 514"):
        text.learn_clip_tokenizer(TEXTS, 513)


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BackendError, match=r"needs tokenizers, which is not installed. Run: pip install"):
        text.bert_tokenizer(SMALL)


def test_neither_torch_nor_transformers_is_needed(tmp_path):
    program = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None;"
        "from mmkg_sdk.modalities import images, text; from mmkg_sdk.families.mkgformer.texts import preparation;"
        "text.encode_clip(text.learn_clip_tokenizer(['a'], 600), ['a'], 4); images.clip_pixels(None, 4)"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
