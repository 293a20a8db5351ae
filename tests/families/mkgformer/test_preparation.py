"""Text inputs of the three tasks: the authors' own, real sentences against a slow tokenizer, and hostile texts."""

from __future__ import annotations

import ast
import json
import lzma
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.data.sentences import TAGS
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.families.mkgformer.texts.preparation import (
    MARKERS,
    TAG_CLASSES,
    description_query,
    link_query,
    link_texts,
    marked_pieces,
    pad_rows,
    relation_inputs,
    spans_read,
    special_tokens,
    tag_labels,
    tagging_inputs,
)
from mmkg_sdk.modalities.text import bert_tokenizer, learn_bert_vocabulary, token_ids
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, KnownTriples
from tests.places import ROOT

pytest.importorskip("tokenizers", reason="texts need tokenizers")
GOLDEN = ROOT / "tests" / "golden" / "mkgformer" / "text_prep"
DATA = ROOT.parent / "shared" / "data"
VOCABULARY = (GOLDEN / "vocab.txt").read_text(encoding="utf-8").split()
PAD, UNK, CLS, SEP, MASK = range(5)


def golden_json(name: str) -> dict:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def columns(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def unpack(name: str) -> str:
    if not DATA.is_dir():
        pytest.skip("the public data sets are not beside the repository")
    return lzma.decompress((DATA / name).read_bytes()).decode("utf-8")


@pytest.fixture(scope="module")
def bert_vocabulary() -> list[str]:
    return unpack("vocab/bert-base-uncased-vocab.txt.xz").split("\n")[:-1]


@pytest.fixture(scope="module")
def slow(bert_vocabulary, tmp_path_factory):
    """The original BERT tokenizer in Python with the four markers."""
    legacy = pytest.importorskip(
        "transformers.models.bert.tokenization_bert_legacy", reason="this transformers has no slow BERT tokenizer"
    )
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in bert_vocabulary), encoding="utf-8")
    tokenizer = legacy.BertTokenizerLegacy(str(path))
    tokenizer.add_special_tokens({"additional_special_tokens": list(MARKERS)})
    return tokenizer


@pytest.fixture(scope="module")
def golden_links():
    entities, relations = columns("entity2text.txt"), dict(columns("relation2text.txt"))
    order = [name for (name,) in columns("relations.txt")]
    rows = {name: row for row, (name, _) in enumerate(entities)}
    triples = {
        split: np.array(
            [[rows[head], order.index(relation), rows[tail]] for head, relation, tail in columns(f"{split}.tsv")]
        )
        for split in ("train", "dev", "test")
    }
    texts = link_texts(
        bert_tokenizer(VOCABULARY),
        [text for _, text in entities],
        [relations[name] for name in order],
        golden_json("lp_expected.json")["max_seq_length"],
    )
    return SimpleNamespace(texts=texts, triples=triples, names=list(rows))


@pytest.mark.parametrize("case", ["stage2_bce1_train", "stage2_bce1_dev", "stage2_bce1_test", "stage2_bce0_train"])
def test_link_queries_are_those_of_the_authors(case, golden_links):
    name = "mmkg_sdk.families.mkgformer.links.examples"
    examples = pytest.importorskip(name, reason="the order of examples needs torch")
    expected = golden_json("lp_expected.json")["features"][case]
    split = case.rsplit("_", 1)[1]
    in_order = examples.stage_2_queries if case == "stage2_bce1_train" else examples.both_queries
    queries, targets = in_order(golden_links.triples[split])
    seen = ["train"] if split == "train" else ["train", "dev", "test"]
    answers = KnownTriples(np.concatenate([golden_links.triples[name] for name in seen])).answers_of(queries)
    found = []
    for row in range(len(queries)):
        asked = int(queries.entity[row]), int(queries.relation[row]), int(queries.direction[row])
        tokens = link_query(golden_links.texts, *asked)
        found.append(
            {
                "input_ids": tokens,
                "attention_mask": [1] * len(tokens),
                "labels": answers.ids[answers.offsets[row] : answers.offsets[row + 1]].tolist(),
                "label": int(targets[row]),
                "image_entity": golden_links.names[asked[0]],
            }
        )
    assert found == expected


def test_descriptions_are_those_of_the_authors(golden_links):
    found = []
    for row, name in enumerate(golden_links.names):
        tokens = description_query(golden_links.texts, row)
        mask = [1] * len(tokens)
        found.append({"input_ids": tokens, "attention_mask": mask, "labels": row, "label": row, "image_entity": name})
    assert found == golden_json("lp_expected.json")["features"]["stage1_bce0_train"]


def test_relation_sentences_are_those_of_the_authors():
    expected = golden_json("mre_expected.json")
    classes = golden_json("mre_rel2id.json")
    items = [ast.literal_eval(line) for line in (GOLDEN / "mre_train.txt").read_text().splitlines()]
    sentences = [(item["token"], item["h"]["pos"], item["t"]["pos"]) for item in items]
    tokenizer = bert_tokenizer(VOCABULARY, MARKERS)
    assert {marker: tokenizer.token_to_id(marker) for marker in MARKERS} == expected["marker_ids"]
    inputs = relation_inputs(tokenizer, sentences, expected["max_seq"])
    found = [
        {
            "input_ids": inputs.input_ids[row].tolist(),
            "token_type_ids": inputs.token_type_ids[row].tolist(),
            "attention_mask": inputs.attention_mask[row].tolist(),
            "label": classes[item["relation"]],
        }
        for row, item in enumerate(items)
    ]
    assert found == expected["items"]


def test_tagged_sentences_are_those_of_the_authors():
    expected = golden_json("mner_expected.json")
    assert {name: row for row, name in enumerate(TAG_CLASSES)} == expected["label_map"]
    sentences = (GOLDEN / "mner_train.txt").read_text().strip().split("\n\n")
    lines = [[line.split("\t") for line in sentence.split("\n")] for sentence in sentences]
    assert [f"{head[0].removeprefix('IMGID:')}.jpg" for head, *_ in lines] == expected["images"]
    words = [[word for word, _ in pairs] for _, *pairs in lines]
    tags = [[tag.replace("OTHER", "MISC") for _, tag in pairs] for _, *pairs in lines]
    inputs = tagging_inputs(bert_tokenizer(VOCABULARY), words, expected["max_seq"])
    labels = tag_labels(inputs, tags)
    assert labels.dtype == inputs.input_ids.dtype == np.int64
    found = [
        {
            "input_ids": inputs.input_ids[row].tolist(),
            "token_type_ids": inputs.token_type_ids[row].tolist(),
            "attention_mask": inputs.attention_mask[row].tolist(),
            "labels": labels[row].tolist(),
        }
        for row in range(len(words))
    ]
    assert found == expected["items"]


def spelled_query(slow, text: str, relation: str, direction: int, max_length: int, ids: tuple[int, int]) -> list[int]:
    """A query as spec 6.3 writes it: one string with place holders, tokenised as a pair, place holders replaced."""
    pair = (
        (f"[MASK][SEP]{relation}[PAD]", f"[UNK] {text}")
        if direction == HEAD
        else ("[UNK] ", f"{relation}[PAD][SEP][MASK]{text}")
    )
    tokens = slow.encode(*pair, truncation="longest_first", max_length=max_length)
    for holder, token in zip((slow.unk_token_id, slow.pad_token_id), ids, strict=True):
        tokens[tokens.index(holder)] = token
    return tokens


@pytest.mark.parametrize("max_length", [24, 32, 64])
def test_queries_over_wordnet_are_the_spelled_ones(max_length, bert_vocabulary, slow):
    entities = [line.split("\t")[1] for line in unpack("WN18/entity2text.txt.xz").splitlines()[::400]]
    lines = (DATA / "WN18" / "relation2text.txt").read_text(encoding="utf-8").splitlines()
    relations = [line.split("\t")[1] for line in lines]
    texts = link_texts(bert_tokenizer(bert_vocabulary), entities, relations, max_length)
    assert (texts.first_entity, texts.first_relation) == (30522, 30522 + len(entities))
    for entity, text in enumerate(entities):
        relation = entity % len(relations)
        for direction in (HEAD, TAIL):
            expected = spelled_query(
                slow,
                text,
                relations[relation],
                direction,
                max_length,
                (30522 + entity, texts.first_relation + relation),
            )
            assert link_query(texts, entity, relation, direction) == expected
        whole = f"The description of [MASK] is that {text} ."
        expected = slow.encode(whole, truncation=True, max_length=max_length)
        assert [30522 if token == 100 else token for token in expected] == description_query(texts, entity)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 40), st.integers(1, 40), st.integers(8, 30), st.sampled_from([HEAD, TAIL]))
def test_too_long_queries_are_cut_as_the_slow_tokenizer_does(slow, words, relation_words, max_length, direction):
    text, relation = "the " * words, "film " * relation_words
    texts = link_texts(bert_tokenizer(list(slow.vocab)), [text], [relation], max_length)
    try:
        expected = spelled_query(slow, text, relation, direction, max_length, (30522, 30523))
    except ValueError:  # a place holder is cut off
        expected = []
    if slow.mask_token_id in expected:
        assert link_query(texts, 0, 0, direction) == expected
    else:
        with pytest.raises(QueryError):
            link_query(texts, 0, 0, direction)


def test_an_unknown_word_of_the_relation_takes_the_entitys_place_as_with_the_authors():
    texts = link_texts(bert_tokenizer(VOCABULARY), ["band"], ["☃ from"], 24)
    entity, relation, band, place = 96, 97, VOCABULARY.index("band"), VOCABULARY.index("from")
    assert link_query(texts, 0, 0, HEAD) == [CLS, MASK, SEP, entity, place, relation, SEP, UNK, band, SEP]
    assert link_query(texts, 0, 0, TAIL) == [CLS, entity, SEP, UNK, place, relation, SEP, MASK, band, SEP]


def test_texts_that_leave_no_query_are_refused():
    tokenizer = bert_tokenizer(VOCABULARY)
    with pytest.raises(QueryError, match=r"entity 0 and relation 0 has no room .* has 9 pieces. Shorten it"):
        link_query(link_texts(tokenizer, ["film"], ["film " * 30], 9), 0, 0, HEAD)
    with pytest.raises(QueryError, match=r"has 0 \[MASK\]"):
        link_query(link_texts(tokenizer, ["film"], ["film " * 5], 10), 0, 0, TAIL)
    with pytest.raises(QueryError, match=r"description of entity 0 has 0 \[MASK\] .* a larger max_length"):
        description_query(link_texts(tokenizer, ["film"], ["from"], 4), 0)
    with pytest.raises(QueryError, match="text 1 of 2 holds"):
        link_texts(tokenizer, ["film", "\udc00"], ["from"], 24)


def test_an_empty_description_still_makes_a_query():
    texts = link_texts(bert_tokenizer(VOCABULARY), ["", "\\"], ["from"], 24)
    place = VOCABULARY.index("from")
    for entity in (0, 1):
        assert link_query(texts, entity, 0, HEAD) == [CLS, MASK, SEP, place, 98, SEP, 96 + entity, SEP]
        assert link_query(texts, entity, 0, TAIL) == [CLS, 96 + entity, SEP, place, 98, SEP, MASK, SEP]


def test_rows_are_padded_to_the_longest_to_a_multiple_or_to_a_length():
    rows = [[5, 6, 7], [8]]
    ids, mask = pad_rows(rows, 9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert pad_rows(rows, 0, multiple=8)[0].shape == (2, 8)
    assert pad_rows([[1] * 8], 0, multiple=8)[0].shape == (1, 8)
    assert pad_rows(rows, 0, length=5)[0].shape == (2, 5)
    assert pad_rows([], 0)[0].shape == (0, 0)


def test_real_relation_sentences_are_those_of_the_slow_tokenizer(bert_vocabulary, slow):
    items = [ast.literal_eval(line) for line in unpack("MNRE/mnre_test.txt.xz").splitlines()[::5]]
    sentences = [(item["token"], item["h"]["pos"], item["t"]["pos"]) for item in items]
    inputs = relation_inputs(bert_tokenizer(bert_vocabulary, MARKERS), sentences, 80)
    theirs = slow(
        [marked_text(*sentence) for sentence in sentences], padding="max_length", truncation=True, max_length=80
    )
    assert not inputs.token_type_ids.any()
    for name in ("input_ids", "attention_mask"):
        np.testing.assert_array_equal(getattr(inputs, name), theirs[name])


def marked_text(words, head, tail):
    """A sentence with its markers as one string, as spec 7 writes it."""
    places = [*zip((*head, *tail), MARKERS, strict=True)]
    return " ".join(item for row, word in enumerate(words) for item in (*(m for at, m in places if at == row), word))


def test_markers_stand_in_front_of_words_and_none_after_the_last():
    tokenizer = bert_tokenizer(VOCABULARY, MARKERS)
    sentences = [(["film", "band", "from"], (0, 1), (1, 3)), (["film", "band", "from"], (2, 3), (0, 2))]
    # At one place the markers of the head come first, even the opening one in front of the tail's closing one.
    for pieces, expected in zip(
        marked_pieces(tokenizer, sentences), ["<s> film </s> <o> band from", "<o> film band <s> </o> from"], strict=True
    ):
        assert [tokenizer.id_to_token(piece) for piece in pieces] == expected.split()


def test_a_sentence_whose_span_begins_behind_the_cut_is_told_by_its_number():
    tokenizer = bert_tokenizer(VOCABULARY, MARKERS)
    words = ["film"] * 30
    sentences = [(words[:3], (0, 1), (1, 2)), (words, (0, 1), (28, 29)), (words, (25, 26), (0, 1))]
    assert spans_read(tokenizer, sentences, 24).tolist() == [True, False, False]
    assert spans_read(tokenizer, sentences, 36).all()
    # 22 pieces are read: the markers <s> and </s>, 19 words and <o>.
    assert spans_read(tokenizer, [(words, (0, 1), (19, 20)), (words, (0, 1), (20, 21))], 24).tolist() == [True, False]
    for row, name in ((1, "tail"), (2, "head")):
        message = f"sentence 0 of 1: its {name} begins behind the first 22 word pieces, .* Shorten the sentence"
        with pytest.raises(QueryError, match=message):
            relation_inputs(tokenizer, [sentences[row]], 24)
    with pytest.raises(DataError, match="no token <s>"):
        relation_inputs(bert_tokenizer(VOCABULARY), [sentences[0]], 24)


@pytest.mark.parametrize("word", [*MARKERS, "[SEP]", "[MASK]", "[CLS]", "[PAD]"])
def test_a_word_that_spells_a_special_token_is_a_word(word):
    tokenizer = bert_tokenizer(VOCABULARY, MARKERS)
    special = {tokenizer.token_to_id(token) for token in (*MARKERS, "[SEP]", "[MASK]", "[CLS]", "[PAD]")}
    inputs = relation_inputs(tokenizer, [([word, "film", word], (0, 1), (1, 3))], 24)
    plain = relation_inputs(tokenizer, [(["film", "film", "film"], (0, 1), (1, 3))], 24)
    for one in (inputs, plain):
        found = [int(token) for token in one.input_ids[0][one.attention_mask[0] == 1]]
        assert [token for token in found if token in special] == [CLS, *token_ids(tokenizer, MARKERS[:3]), SEP]
    tagged = tagging_inputs(bert_tokenizer(VOCABULARY), [[word, "film"]], 18)
    assert tagged.input_ids[0, 1] not in (CLS, SEP, MASK, 0)
    texts = link_texts(bert_tokenizer(VOCABULARY), [f"a {word} film"], [word], 48)
    for direction in (HEAD, TAIL):
        tokens = link_query(texts, 0, 0, direction)
        assert (tokens.count(MASK), tokens.count(CLS), tokens.count(SEP), tokens.count(0)) == (1, 1, 3, 0)
    assert description_query(texts, 0).count(MASK) == 1


def test_real_tagged_sentences_are_split_word_by_word(bert_vocabulary, slow):
    tweets = [tweet.split("\n")[1:] for tweet in unpack("Twitter-2017/test.txt.xz").strip().split("\n\n")[::5]]
    pairs = [[line.split("\t") for line in tweet] for tweet in tweets]
    words = [[word for word, _ in tweet] for tweet in pairs]
    tags = [[tag.replace("OTHER", "MISC") for _, tag in tweet] for tweet in pairs]
    for max_length in (16, 128):
        inputs = tagging_inputs(bert_tokenizer(bert_vocabulary), words, max_length)
        labels = tag_labels(inputs, tags)
        for row, tweet in enumerate(zip(words, tags, strict=True)):
            tokens, classes = [], []
            for word, tag in zip(*tweet, strict=True):
                pieces = slow.encode(word, add_special_tokens=False)
                tokens += pieces
                classes += [TAG_CLASSES.index(tag)] * bool(pieces) + [10] * (len(pieces) - 1)
            tokens, classes = tokens[: max_length - 2], classes[: max_length - 2]
            padding = [0] * (max_length - 2 - len(tokens))
            assert inputs.input_ids[row].tolist() == [101, *tokens, 102, *padding]
            assert labels[row].tolist() == [11, *classes, 12, *padding]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text(max_size=12), max_size=12), max_size=4), st.integers(2, 12))
def test_any_words_are_tagged_where_they_begin(sentences, max_length):
    tokenizer = bert_tokenizer(VOCABULARY)
    inputs = tagging_inputs(tokenizer, sentences, max_length)
    labels = tag_labels(inputs, [["B-PER"] * len(words) for words in sentences])
    assert inputs.input_ids.shape == inputs.words.shape == labels.shape == (len(sentences), max_length)
    assert ((labels == TAG_CLASSES.index("B-PER")) == (inputs.words >= 0)).all()
    assert ((labels == 0) == (inputs.attention_mask == 0)).all()
    assert ((labels == TAG_CLASSES.index("[SEP]")).sum(axis=1) == 1).all()
    for row, words in enumerate(sentences):
        found = inputs.words[row][inputs.words[row] >= 0]
        assert (np.diff(found) > 0).all()
        assert all(words[index].strip() for index in found)


def test_ten_thousand_words_and_none_are_a_row_each():
    inputs = tagging_inputs(bert_tokenizer(VOCABULARY), [["film"] * 10_000, [], ["\x00", "\u200b"]], 18)
    assert inputs.attention_mask.sum(axis=1).tolist() == [18, 2, 2]
    assert inputs.words[0].tolist() == [-1, *range(16), -1]
    assert (inputs.words[1:] == -1).all()


def test_special_tokens_are_found_at_any_place_of_the_vocabulary():
    vocabulary = sorted(learn_bert_vocabulary(["some words to learn"] * 4, 60))
    special = special_tokens(bert_tokenizer(vocabulary))
    assert [vocabulary[row] for row in (special.pad, special.first, special.last)] == ["[PAD]", "[CLS]", "[SEP]"]
    inputs = tagging_inputs(bert_tokenizer(vocabulary), [["some"]], 6)
    assert inputs.input_ids[0].tolist()[0] == special.first
    assert inputs.input_ids[0].tolist()[3:] == [special.pad] * 3


def test_tags_are_the_classes_of_the_data_between_padding_and_marks():
    assert TAG_CLASSES[1:-3] == TAGS
    with pytest.raises(DataError, match="max_length is 1; expected at least 2"):
        tagging_inputs(bert_tokenizer(VOCABULARY), [["a"]], 1)
