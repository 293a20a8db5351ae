"""The embedded data set: facts that hold together, a fair split, and the folder that is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from mmkg_sdk.data import atlas
from mmkg_sdk.data.atlas.facts import other_descriptions
from mmkg_sdk.data.atlas.graph import RELATIONS
from mmkg_sdk.errors import DataError

COUNTRIES = {country.name: country for country in atlas.countries()}
GRAPH = atlas.atlas_graph()

# Written from common knowledge, not from the data: how many land neighbours, and who pays with the euro.
NEIGHBOUR_COUNTS = {
    "Austria": 8, "Azerbaijan": 5, "Bolivia": 5, "Brazil": 10, "China": 14, "Germany": 9, "Iceland": 0,
    "Iran": 7, "Japan": 0, "Lesotho": 1, "Mali": 7, "Mongolia": 2, "Portugal": 1, "Russia": 14,
    "Saudi Arabia": 7, "Sudan": 7, "Tanzania": 8, "Turkey": 8, "United States": 2, "Uzbekistan": 5,
    "Vatican City": 1, "Zambia": 8, "Democratic Republic of the Congo": 9,
}  # fmt: skip
EURO = {
    "Andorra", "Austria", "Belgium", "Bulgaria", "Croatia", "Cyprus", "Estonia", "Finland", "France",
    "Germany", "Greece", "Ireland", "Italy", "Latvia", "Lithuania", "Luxembourg", "Malta", "Monaco",
    "Montenegro", "Netherlands", "Portugal", "San Marino", "Slovakia", "Slovenia", "Spain", "Vatican City",
}  # fmt: skip


def labelled(split: str) -> set[tuple[str, str, str]]:
    return {
        (GRAPH.entities[head], GRAPH.relations[relation], GRAPH.entities[tail])
        for head, relation, tail in GRAPH.split(split).tolist()
    }


def run_python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    repository = Path(__file__).resolve().parents[3]
    command, variables = [sys.executable, "-c", code], {**os.environ, **environment}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=repository, env=variables)
    return done.stdout


def test_there_are_193_members_of_the_united_nations_and_two_observers() -> None:
    assert len(COUNTRIES) == len(atlas.countries()) == 193 + 2
    by_continent = Counter(country.continent for country in COUNTRIES.values())
    assert by_continent == {
        "Africa": 54, "Asia": 48, "Europe": 44, "North America": 23, "South America": 12, "Oceania": 14,
    }  # fmt: skip
    assert set(by_continent) == set(atlas.CONTINENTS)


def test_every_country_has_a_capital_of_its_own_a_currency_and_a_language() -> None:
    assert len({country.capital for country in COUNTRIES.values()}) == len(COUNTRIES)
    for country in COUNTRIES.values():
        assert country.capital
        assert country.currency
        assert country.language
        for values in (country.currency, country.language, country.neighbour):
            assert len(set(values)) == len(values), country.name


def test_borders_have_two_sides() -> None:
    for country in COUNTRIES.values():
        assert country.name not in country.neighbour
        for neighbour in country.neighbour:
            assert country.name in COUNTRIES[neighbour].neighbour, f"{country.name} - {neighbour}"


@pytest.mark.parametrize(("name", "count"), NEIGHBOUR_COUNTS.items())
def test_known_countries_have_the_known_number_of_neighbours(name: str, count: int) -> None:
    assert len(COUNTRIES[name].neighbour) == count


def test_the_euro_is_paid_where_it_is_known_to_be() -> None:
    assert {country.name for country in COUNTRIES.values() if "Euro" in country.currency} == EURO


def test_labels_are_distinct_across_kinds() -> None:
    labels = [*COUNTRIES, *(label for kind in other_descriptions().values() for label in kind)]
    assert len(set(labels)) == len(labels)
    assert len({label.casefold() for label in labels}) == len(labels)
    for label in labels:
        assert label == label.strip()
        assert not set(label) & set('\t\n/\\:*?"<>|'), label


def test_described_entities_are_exactly_those_of_the_facts() -> None:
    used = {
        "capitals": {country.capital for country in COUNTRIES.values()},
        "continents": {country.continent for country in COUNTRIES.values()},
        "currencies": {currency for country in COUNTRIES.values() for currency in country.currency},
        "languages": {language for country in COUNTRIES.values() for language in country.language},
    }
    assert {kind: set(labels) for kind, labels in other_descriptions().items()} == used
    assert list(atlas.atlas_descriptions()) == list(GRAPH.entities)


def test_every_description_is_one_sentence_that_names_its_entity() -> None:
    for label, sentence in atlas.atlas_descriptions().items():
        assert label in sentence, label
        assert re.fullmatch(r"[^.!?\t\n]+(\.[0-9][^.!?\t\n]*)?\.", sentence), sentence
        assert 8 <= len(sentence.split()) <= 40, sentence


def test_no_two_country_sentences_follow_one_template() -> None:
    words = {
        country.name: set(re.findall(r"[a-z]+", country.description.replace(country.name, "").lower()))
        for country in COUNTRIES.values()
    }
    for (first, ours), (second, theirs) in combinations(words.items(), 2):
        assert len(ours & theirs) / len(ours | theirs) < 0.4, f"{first} / {second}"


def test_the_split_is_about_80_10_10_and_loses_nothing() -> None:
    total = sum(3 + sum(map(len, (c.currency, c.language, c.neighbour))) for c in COUNTRIES.values())
    splits = [labelled(split) for split in ("train", "valid", "test")]
    assert len(set.union(*splits)) == sum(map(len, splits)) == len(GRAPH.triples) == total
    assert 0.78 < len(splits[0]) / total < 0.82
    assert abs(len(splits[1]) - len(splits[2])) <= 2


def test_valid_and_test_hold_nothing_that_train_does_not_know() -> None:
    known = set(GRAPH.train[:, [0, 2]].ravel().tolist())
    assert known == set(range(len(GRAPH.entities)))
    assert tuple(GRAPH.relations) == RELATIONS
    for split in ("train", "valid", "test"):
        assert set(GRAPH.split(split)[:, 1].tolist()) == set(range(len(RELATIONS))), split


def test_both_directions_of_a_border_share_a_split() -> None:
    for split in ("train", "valid", "test"):
        borders = {(head, tail) for head, relation, tail in labelled(split) if relation == "neighbour"}
        assert borders
        assert {(tail, head) for head, tail in borders} == borders


def test_the_split_is_the_same_in_another_process_with_another_hash_seed() -> None:
    code = "from mmkg_sdk.data.atlas import atlas_graph; print(atlas_graph().test.tolist())"
    for seed in ("1", "2"):
        assert json.loads(run_python(code, PYTHONHASHSEED=seed)) == GRAPH.test.tolist()


def test_the_graph_needs_neither_pillow_nor_torch() -> None:
    code = (
        "import sys; from mmkg_sdk.data.atlas import atlas_graph; atlas_graph();"
        "print(sorted({'PIL', 'torch', 'transformers'} & set(sys.modules)))"
    )
    assert run_python(code).strip() == "[]"


def test_the_folder_says_what_the_graph_says(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "atlas"
    atlas.write_atlas(folder)
    assert {path.name for path in folder.iterdir()} == {
        "entities.txt", "relations.txt", "train.txt", "valid.txt", "test.txt", "descriptions.tsv", "images",
    }  # fmt: skip
    assert list(folder.parent.iterdir()) == [folder]  # nothing half-written is left beside it
    assert (folder / "entities.txt").read_text("utf-8").splitlines() == list(GRAPH.entities)
    assert (folder / "relations.txt").read_text("utf-8").splitlines() == list(RELATIONS)
    for split in ("train", "valid", "test"):
        lines = (folder / f"{split}.txt").read_text("utf-8").splitlines()
        assert len(lines) == len(GRAPH.split(split))
        assert {tuple(line.split("\t")) for line in lines} == labelled(split)
    lines = (folder / "descriptions.tsv").read_text("utf-8").splitlines()
    assert dict(line.split("\t") for line in lines) == atlas.atlas_descriptions()
    assert {path.stem for path in (folder / "images").iterdir()} == set(atlas.flag_countries())
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.size, image.mode) == ("PNG", (96, 64), "RGB")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="exists already"):
        atlas.write_atlas(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(DataError, match="is a file; a data set is a folder"):
        atlas.write_atlas(tmp_path / "mine.txt")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    atlas.write_atlas(tmp_path / "empty")
    assert (tmp_path / "empty" / "train.txt").is_file()


def test_the_packaged_files_are_ascii_and_small() -> None:
    files = list(Path(atlas.__file__).parent.glob("*.json"))
    assert len(files) == 7
    assert all(path.read_bytes().isascii() for path in files)
    assert sum(path.stat().st_size for path in files) < 350_000
