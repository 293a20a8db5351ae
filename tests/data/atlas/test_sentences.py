"""The embedded sentences: true to the facts, split fairly, and ambiguous where they claim to be."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmkg_sdk.data import atlas
from mmkg_sdk.data.atlas.facts import other_descriptions
from mmkg_sdk.data.atlas.sentences import write_mentions, write_relations, write_tags
from mmkg_sdk.data.layouts.linking import read_linking
from mmkg_sdk.data.layouts.sentences import read_relations, read_tagging
from mmkg_sdk.data.sentences import TAGS
from mmkg_sdk.errors import DataError

WRITERS = {"mentions": write_mentions, "relations": write_relations, "tags": write_tags}
SPLITS = ("train", "valid", "test")
COUNTRIES = {country.name: country for country in atlas.countries()}
KINDS = other_descriptions()
PAGE = json.loads((Path(atlas.__file__).parent / "ambiguous.json").read_text("utf-8"))
NAMES = json.loads((Path(atlas.__file__).parent / "names.json").read_text("utf-8"))

# Written from common knowledge, not from the data: what some names may mean.
AMBIGUOUS = {
    "Georgia": {"Georgia", "Georgia (US state)"},
    "Congo": {"Democratic Republic of the Congo", "Republic of the Congo", "Congo River"},
    "Guinea": {"Guinea", "Guinea-Bissau", "Equatorial Guinea", "Papua New Guinea"},
    "New Guinea": {"Papua New Guinea", "New Guinea (island)"},
    "Niger": {"Niger", "Niger River"},
    "Jordan": {"Jordan", "Jordan River"},
    "Samoa": {"Samoa", "American Samoa"},
    "Sudan": {"Sudan", "South Sudan"},
    "Korea": {"North Korea", "South Korea"},
    "Luxembourg": {"Luxembourg", "Luxembourg City", "Luxembourg (Belgian province)"},
    "Mexico": {"Mexico", "Mexico City", "Mexico (state)"},
    "Panama": {"Panama", "Panama City"},
    "Panama City": {"Panama City", "Panama City (Florida)"},
    "Kuwait": {"Kuwait", "Kuwait City"},
    "Guatemala": {"Guatemala", "Guatemala City"},
    "Djibouti": {"Djibouti", "Djibouti City"},
    "Singapore": {"Singapore", "Singapore (city)"},
    "San Marino": {"San Marino", "San Marino (city)"},
    "Monaco": {"Monaco", "Monaco (city)"},
    "Washington": {"Washington", "Washington (US state)"},
    "Victoria": {"Victoria", "Victoria (Australian state)", "Victoria (British Columbia)"},
    "Macedonia": {"North Macedonia", "Macedonia (Greek region)"},
    "Dominican": {"Dominica", "Dominican Republic"},
    "Congolese": {"Democratic Republic of the Congo", "Republic of the Congo"},
    "Chinese": {"China", "Mandarin Chinese"},
    "Gaelic": {"Irish", "Scottish Gaelic"},
    "rial": {"Iranian rial", "Omani rial", "Yemeni rial"},
    "krone": {"Danish krone", "Norwegian krone"},
    "krona": {"Icelandic krona", "Swedish krona"},
    "won": {"North Korean won", "South Korean won"},
    "pound": {
        "Egyptian pound", "Lebanese pound", "Pound sterling", "South Sudanese pound", "Sudanese pound", "Syrian pound",
    },
    "peso": {
        "Argentine peso", "Chilean peso", "Colombian peso", "Cuban peso", "Dominican peso", "Mexican peso",
        "Philippine peso", "Uruguayan peso",
    },
    "dinar": {
        "Algerian dinar", "Bahraini dinar", "Iraqi dinar", "Jordanian dinar", "Kuwaiti dinar", "Libyan dinar",
        "Serbian dinar", "Tunisian dinar",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three written folders, called mentions, relations and tags."""
    base = tmp_path_factory.mktemp("sentences")
    for name, write in WRITERS.items():
        write(base / name)
    return base


def table(path: Path) -> list[dict[str, str]]:
    header, *rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def linked(folder: Path, split: str) -> list[dict[str, str]]:
    return table(folder / "mentions" / f"mentions-{split}.tsv")


def items(folder: Path, kind: str, split: str) -> list[dict[str, Any]]:
    lines = (folder / kind / f"{kind}-{split}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def occurrences(name: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", text))


# All three


def digest(folder: Path) -> str:
    """One hash of every name and text in a folder; pixels depend on the version of Pillow."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(path.relative_to(folder).as_posix().encode())
        if path.suffix in (".tsv", ".jsonl", ".txt"):
            found.update(path.read_bytes())
    return found.hexdigest()


def test_other_processes_with_other_hash_seeds_write_the_same(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mmkg_sdk.data.atlas import sentences\n"
        "for name in ('mentions', 'relations', 'tags'): getattr(sentences, f'write_{name}')(Path(sys.argv[1]) / name)"
    )
    repository = Path(__file__).resolve().parents[3]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], check=True, cwd=repository, env=environment)
        assert digest(tmp_path / seed) == digest(folder)


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_with_something_in_it_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="exists already"):
        WRITERS[name](tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_readers_take_what_is_written(folder: Path) -> None:
    links, relations = read_linking(folder / "mentions"), read_relations(folder / "relations")
    tags = read_tagging(folder / "tags")
    assert tuple(relations.relations) == ("none", *RELATIONS)
    for split in SPLITS:
        assert [mention.text for mention in links.split(split)] == [row["mention"] for row in linked(folder, split)]
        assert len(relations.split(split)) == len(items(folder, "relations", split))
        assert len(tags.split(split)) == len(items(folder, "tags", split))


@pytest.mark.parametrize("kind", ["mentions", "relations", "tags"])
def test_images_are_the_flags_that_are_used(folder: Path, kind: str) -> None:
    paths = {path.relative_to(folder / kind).as_posix() for path in (folder / kind / "images").iterdir()}
    rows = [
        row for split in SPLITS for row in (linked(folder, split) if kind == "mentions" else items(folder, kind, split))
    ]
    shown = [row["image"] for row in rows if row.get("image")]
    entities = table(folder / "mentions" / "entities.tsv") if kind == "mentions" else []
    assert paths == {*shown, *(row["image"] for row in entities if row["image"])}
    assert 0.05 < len(shown) / len(rows) < 0.3
    assert {Path(path).stem for path in paths} <= set(atlas.flag_countries())
    with Image.open(folder / kind / min(paths)) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (96, 64), "RGB")


# Mentions


def test_candidates_are_the_atlas_and_namesakes_with_text_and_flag(folder: Path) -> None:
    rows = {row["label"]: row for row in table(folder / "mentions" / "entities.tsv")}
    assert len(rows) == len(table(folder / "mentions" / "entities.tsv"))
    assert set(rows) == {*atlas.atlas_descriptions(), *PAGE["entities"]} - {"Vatican (city)"}
    assert not set(PAGE["entities"]) & set(atlas.atlas_descriptions())
    for label, row in rows.items():
        assert atlas.atlas_descriptions().get(label, "") in row["text"]
        assert row["name"]
        assert row["image"] == (f"images/{label}.png" if label in atlas.flag_countries() else "")
    assert rows["Georgia"]["name"] == rows["Georgia (US state)"]["name"] == "Georgia"
    assert rows["Singapore (city)"]["name"] == "Singapore"


def test_there_are_about_3900_mentions_split_80_10_10(folder: Path) -> None:
    counts = {split: len(linked(folder, split)) for split in SPLITS}
    total = sum(counts.values())
    assert 3600 <= total <= 4200
    assert 0.77 < counts["train"] / total < 0.83
    assert 0.08 < counts["valid"] / total < 0.12
    assert 0.08 < counts["test"] / total < 0.12


def test_every_mention_stands_once_in_its_sentence_and_means_a_candidate(folder: Path) -> None:
    labels = {row["label"] for row in table(folder / "mentions" / "entities.tsv")}
    for split in SPLITS:
        for row in linked(folder, split):
            assert occurrences(row["mention"], row["sentence"]) == 1, row
            assert row["entity"] in labels
            assert row["sentence"][0].isupper()
            assert row["sentence"][-1] in ".?!"


def test_no_sentence_of_a_mention_is_in_two_splits(folder: Path) -> None:
    seen = {split: {row["sentence"] for row in linked(folder, split)} for split in SPLITS}
    assert not seen["train"] & seen["valid"]
    assert not seen["train"] & seen["test"]
    assert not seen["valid"] & seen["test"]


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_ambiguous_names_have_several_meanings_that_training_shows(folder: Path, name: str) -> None:
    meanings = {row["entity"] for row in linked(folder, "train") if row["mention"] == name}
    assert meanings >= AMBIGUOUS[name]


def test_the_dollar_has_many_meanings_and_held_out_mentions_are_ambiguous_too(folder: Path) -> None:
    meanings = defaultdict(set)
    for split in SPLITS:
        for row in linked(folder, split):
            meanings[row["mention"]].add(row["entity"])
    assert len(meanings["dollar"]) >= 18
    assert len(meanings["franc"]) >= 8
    for split in ("valid", "test"):
        rows = linked(folder, split)
        assert sum(len(meanings[row["mention"]]) > 1 for row in rows) / len(rows) > 0.25


def test_the_same_words_mean_two_things_only_when_a_flag_decides(folder: Path) -> None:
    rows = [row for split in SPLITS for row in linked(folder, split)]
    meanings = defaultdict(list)
    for row in rows:
        meanings[row["mention"], row["sentence"]].append((row["image"], row["entity"]))
    several = {key: found for key, found in meanings.items() if len(found) > 1}
    assert len(several) > 10
    for key, found in several.items():
        pictures = [image for image, _ in found]
        assert all(pictures), key
        assert len(set(pictures)) == len(pictures), key


def test_every_candidate_is_mentioned_and_nearly_every_one_in_training(folder: Path) -> None:
    labels = {row["label"] for row in table(folder / "mentions" / "entities.tsv")}
    assert {row["entity"] for split in SPLITS for row in linked(folder, split)} == labels
    assert len(labels - {row["entity"] for row in linked(folder, "train")}) < 0.02 * len(labels)


def test_a_short_name_stands_beside_a_fact_that_no_namesake_shares(folder: Path) -> None:
    written = {sentence for pages in PAGE["sentences"].values() for texts in pages.values() for sentence in texts}
    congos = ("Democratic Republic of the Congo", "Republic of the Congo")
    checked = 0
    for split in SPLITS:
        for row in linked(folder, split):
            if row["mention"] != "Congo" or row["sentence"] in written or row["image"]:
                continue
            ours = COUNTRIES[row["entity"]]
            other = COUNTRIES[next(name for name in congos if name != row["entity"])]
            only_ours = {ours.capital, *ours.neighbour, *ours.currency, *ours.language} - {
                other.capital, *other.neighbour, *other.currency, *other.language,
            }  # fmt: skip
            assert any(occurrences(fact, row["sentence"]) for fact in only_ours), row
            checked += 1
    assert checked >= 8


def test_the_hand_written_page_is_long_and_repeats_nothing() -> None:
    written = [sentence for pages in PAGE["sentences"].values() for texts in pages.values() for sentence in texts]
    assert len(written) >= 300
    assert len(set(written)) == len(written)
    assert set(PAGE["entities"]) <= set(PAGE["sentences"])
    for made in PAGE["entities"].values():
        assert 8 <= len(made["text"].split()) <= 40


# Relations

RELATIONS = ("capital", "continent", "currency", "language", "neighbour")


def spellings(label: str) -> set[str]:
    """What a sentence may call an entity."""
    if label in KINDS["currencies"]:
        full = label.lower() if label in ("Euro", "Pound sterling") else label
        short = "pound" if label == "Pound sterling" else label.split()[-1].lower()
        return {full, short}
    return {label.removesuffix(" (city)")}


LABELS: dict[str, set[str]] = defaultdict(set)
for _label in [*COUNTRIES, *(label for kind in KINDS.values() for label in kind)]:
    for _spelling in spellings(_label):
        LABELS[_spelling].add(_label)


def facts(head: str) -> Iterator[tuple[str, str]]:
    """Relation and tail of everything that countries.json says about a country."""
    country = COUNTRIES[head]
    yield "capital", country.capital
    yield "continent", country.continent
    for relation in ("currency", "language", "neighbour"):
        for tail in getattr(country, relation):
            yield relation, tail


def span(item: dict[str, Any], end: str) -> str:
    first, last = item[end]
    return " ".join(item["words"][first:last])


def said(item: dict[str, Any]) -> set[str]:
    """The relations that hold from what the head may be called to what the tail may be called."""
    heads, tails = LABELS[span(item, "head")], LABELS[span(item, "tail")]
    assert heads
    assert tails
    return {relation for head in heads & COUNTRIES.keys() for relation, tail in facts(head) if tail in tails}


def swapped(item: dict[str, Any]) -> dict[str, Any]:
    return {**item, "head": item["tail"], "tail": item["head"]}


def test_there_are_about_4000_relation_sentences_split_80_10_10(folder: Path) -> None:
    counts = {split: len(items(folder, "relations", split)) for split in SPLITS}
    total = sum(counts.values())
    assert 3800 <= total <= 4300
    assert 0.76 < counts["train"] / total < 0.85
    assert min(counts["valid"], counts["test"]) > 0.07 * total
    assert (folder / "relations" / "relations.txt").read_text("utf-8").splitlines() == ["none", *RELATIONS]
    for split in SPLITS:
        classes = Counter(item["relation"] for item in items(folder, "relations", split))
        assert set(classes) == {"none", *RELATIONS}
        assert 0.2 < classes["none"] / sum(classes.values()) < 0.45
        assert min(classes.values()) > 0.05 * sum(classes.values())


def test_every_asserted_relation_is_a_fact(folder: Path) -> None:
    for split in SPLITS:
        for item in items(folder, "relations", split):
            if item["relation"] != "none":
                assert item["relation"] in said(item), item


def test_no_fact_holds_between_the_spans_of_none(folder: Path) -> None:
    for split in SPLITS:
        for item in items(folder, "relations", split):
            if item["relation"] == "none":
                assert not said(item), item
                assert not said(swapped(item)), item


def test_many_sentences_for_none_state_facts_about_other_spans(folder: Path) -> None:
    train = items(folder, "relations", "train")
    stating = {tuple(item["words"]) for item in train if item["relation"] != "none"}
    negative = [item for item in train if item["relation"] == "none"]
    assert sum(tuple(item["words"]) in stating for item in negative) > 0.4 * len(negative)


def test_spans_lie_apart_inside_the_sentence_and_come_in_both_orders(folder: Path) -> None:
    orders = defaultdict(set)
    for split in SPLITS:
        for item in items(folder, "relations", split):
            (first, one), (second, two) = sorted((item["head"], item["tail"]))
            assert 0 <= first < one <= second < two <= len(item["words"])
            orders[item["relation"]].add(item["head"] < item["tail"])
    assert all(orders[relation] == {True, False} for relation in ("none", *RELATIONS))


def test_no_relation_sentence_is_in_two_splits_and_no_fact_is_asserted_in_two(folder: Path) -> None:
    sentences: dict[tuple[str, ...], str] = {}
    asserted: dict[tuple[str, frozenset[str]], str] = {}
    for split in SPLITS:
        for item in items(folder, "relations", split):
            assert sentences.setdefault(tuple(item["words"]), split) == split
            pair = frozenset((span(item, "head"), span(item, "tail")))
            # A short name such as "peso" does not say which fact it is; the full one does.
            if item["relation"] not in ("none", "currency"):
                assert asserted.setdefault((item["relation"], pair), split) == split, item


def test_disputed_capitals_are_neither_asserted_nor_denied(folder: Path) -> None:
    for split in SPLITS:
        for item in items(folder, "relations", split):
            assert not {"Jerusalem", "Ramallah"} & set(item["words"])


# Tags


def entities(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and words of every entity that the tags mark."""
    words, kind = [], ""
    for word, tag in zip([*item["words"], ""], [*item["tags"], "O"], strict=True):
        if words and not tag.startswith("I-"):
            yield kind, " ".join(words)
            words = []
        if tag != "O":
            words.append(word)
            kind = tag[2:]


def test_there_are_about_12000_tagged_sentences_and_none_is_in_two_splits(folder: Path) -> None:
    found = {split: [tuple(item["words"]) for item in items(folder, "tags", split)] for split in SPLITS}
    total = sum(map(len, found.values()))
    assert 11500 <= total <= 12200
    assert 0.77 < len(found["train"]) / total < 0.83
    assert len(set().union(*found.values())) == total


def test_tags_are_well_formed(folder: Path) -> None:
    for split in SPLITS:
        for item in items(folder, "tags", split):
            assert len(item["words"]) == len(item["tags"])
            assert set(item["tags"]) <= set(TAGS)
            for before, tag in pairwise(["O", *item["tags"]]):
                if tag.startswith("I-"):
                    assert before in (f"B-{tag[2:]}", tag), item


def joined(parts: list[list[str]]) -> list[str]:
    """All names that the parts make."""
    return ["".join(pair) for pair in product(*parts)]


def test_each_kind_marks_what_it_should(folder: Path) -> None:
    places = {*COUNTRIES, *KINDS["continents"], *(label.removesuffix(" (city)") for label in KINDS["capitals"])}
    away = {town for towns in NAMES["towns"].values() for town in towns} | set(NAMES["rivers"].values())
    things = {*KINDS["languages"], *NAMES["demonyms"].values()}
    things |= {name for label in KINDS["currencies"] for name in spellings(label)}
    firsts, lasts = ({*NAMES[f"{kind}s"], *joined(NAMES[f"{kind}_parts"])} for kind in ("first_name", "surname"))
    names = [*NAMES["organisation_names"], *joined(NAMES["organisation_parts"])]
    companies = {f"{name} {kind}" for name in names for kind in NAMES["organisation_kinds"]}
    local = {f"{place} {club}" for place in places for club in NAMES["city_organisations"]}
    known = {
        "LOC": places | away,
        "MISC": things,
        "PER": firsts | lasts,
        "ORG": local | companies | set(NAMES["organisations"]),
    }
    counts: Counter[str] = Counter()
    for split in SPLITS:
        for item in items(folder, "tags", split):
            for kind, name in entities(item):
                first, _, last = name.partition(" ") if kind == "PER" else (name, "", "")
                assert first in known[kind], (kind, name)
                assert not last or (first in firsts and last in lasts), name
                counts[kind] += 1
    assert min(counts[kind] for kind in known) > 500


def test_no_name_is_left_untagged(folder: Path) -> None:
    names = {*COUNTRIES, *KINDS["continents"], *KINDS["languages"], *NAMES["surnames"], *NAMES["organisations"]}
    names |= {label.removesuffix(" (city)") for label in KINDS["capitals"]} | set(NAMES["demonyms"].values())
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(names)))})(?!\w)")
    for split in SPLITS:
        for item in items(folder, "tags", split):
            rest = " ".join(word if tag == "O" else "_" for word, tag in zip(item["words"], item["tags"], strict=True))
            assert not pattern.search(rest), item


def test_some_names_are_a_place_here_and_a_person_or_part_of_an_organisation_there(folder: Path) -> None:
    tags = defaultdict(set)
    for item in items(folder, "tags", "train"):
        for word, tag in zip(item["words"], item["tags"], strict=True):
            tags[word].add(tag)
    for name in ("Jordan", "Georgia", "India", "Chad", "Victoria"):
        assert {"B-LOC", "B-PER"} <= tags[name]
    assert sum({"B-LOC", "B-ORG"} <= found for found in tags.values()) > 30


def test_some_sentences_name_nothing(folder: Path) -> None:
    empty = [item for split in SPLITS for item in items(folder, "tags", split) if set(item["tags"]) == {"O"}]
    assert len(empty) >= 70


@pytest.mark.parametrize("kind", ["relations", "tags"])
def test_punctuation_stands_apart(folder: Path, kind: str) -> None:
    for split in SPLITS:
        for item in items(folder, kind, split):
            for word in item["words"]:
                assert re.fullmatch(r"\w+(['-]\w+)*|[^\w\s]", word), word
            assert item["words"][-1] in (".", "?", "!")
            assert item["words"][0] == '"' or item["words"][0][0].isupper()
            assert "The the " not in " ".join(item["words"])
