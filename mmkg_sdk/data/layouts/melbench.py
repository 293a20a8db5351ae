"""The public originals of three entity linking data sets: samples with one or several mentions each, and splits by id.

* WikiMEL, RichpediaMEL: `*-MEL.json` (sample id -> {sentence, mentions, answer, ...}, lists or single texts),
  `splits.json` (train, test and perhaps dev: sample ids), `qid2ne.json` and `qid2abs.json` (Wikidata id -> name, text).
* WikiDiverse: `WikiDiverse.json` (list of {id, sentence, imgPath, mention, entity, answer, ...}) and
  `ids_split_mappings.json`. Its candidates are the entities of its answers, named by their Wikipedia title (the most
  frequent one); they have no text.

Candidates are all entities whose name is known, in the order of `qid2ne.json` or of first appearance. Without a dev
list the last eighth of the train list is the valid split. Ids that have no sample are left out; a sample of several
splits counts for the last of train, valid, test only, so that nothing tested was trained on. Each of the three is a
warning with its numbers. Results on these files cannot be compared with published tables: the cleaned files of the
papers have other samples and several times as many candidates.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...files.listing import list_files
from ...files.strict_json import need_text, need_texts, read_json_list, read_json_object
from ...files.text import SUFFIXES, find_file, need_file
from ..graph import SPLITS
from ..mentions import LabelledMention, LinkingData
from .images.named import NamedImages, warn_of_missing
from .mimic import mention_image, named_mention_images, readable_labels

_DIVERSE = "WikiDiverse.json"
_SPLIT_NAMES = {"train": "train", "dev": "valid", "val": "valid", "valid": "valid", "test": "test"}


def has_melbench_layout(folder: Path) -> bool:
    """Whether the folder has a sample list of one of these data sets."""
    return bool(find_file(folder, _DIVERSE) or _sample_files(folder))


def read_melbench_layout(folder: Path, images: Path | None) -> LinkingData:
    """Candidates and mentions of a folder in this layout.

    Args:
        images: where the folder `mention_image` lies; None: in the same folder, if at all.

    Raises:
        DataError: if a file is missing or malformed, with file and sample.
    """
    diverse = find_file(folder, _DIVERSE)
    samples, names, texts = _read_diverse(diverse) if diverse else _read_mel(folder)
    path = need_file(folder, "ids_split_mappings.json" if diverse else "splits.json")
    listed = read_json_object(path)
    if diverse:
        if not isinstance(listed.get("WikiDiverse"), dict):
            raise DataError(f"{path}: expected an object under 'WikiDiverse'.")
        listed = listed["WikiDiverse"]
    splits = _read_splits(listed, samples, path)
    rows = {qid: row for row, qid in enumerate(names)}
    mention_images = named_mention_images(images or folder)
    mentions = {
        split: _mentions([samples[key] for key in keys], rows, mention_images) for split, keys in splits.items()
    }
    if not mentions["train"]:
        raise DataError(f"{path}: no training sample of it is in {folder}; training needs some.")
    warn_of_missing([mention_images])
    return LinkingData(
        folder.resolve().name,
        readable_labels(list(names.values()), list(names)),
        tuple(names.values()),
        tuple(texts.get(qid, "") for qid in names),
        (None,) * len(names),
        **mentions,
    )


@dataclass(frozen=True)
class _Sample:
    """One sentence with its mentions and their Wikidata ids; `place` is where it stands, for messages."""

    place: str
    sentence: str
    image: str
    mentions: tuple[str, ...]
    answers: tuple[str, ...]


def _read_sample(item: dict[str, Any], key: str, place: str) -> _Sample:
    mentions, answers = _one_or_more(item, key, place), _one_or_more(item, "answer", place)
    if len(mentions) != len(answers):
        raise DataError(f"{place}: {len(mentions)} mentions and {len(answers)} answers; expected as many.")
    image = need_text(item, "imgPath", place) if "imgPath" in item else ""
    return _Sample(place, need_text(item, "sentence", place), image, mentions, answers)


_Read = tuple[dict[str, _Sample], dict[str, str], dict[str, str]]


def _one_or_more(item: dict[str, Any], key: str, place: str) -> tuple[str, ...]:
    return (item[key],) if isinstance(item.get(key), str) else need_texts(item, key, place)


def _read_mel(folder: Path) -> _Read:
    """Samples by id, names and texts by Wikidata id."""
    files = _sample_files(folder)
    if len(files) != 1:
        listed = ", ".join(path.name for path in files)
        raise DataError(f"{folder}: expected one sample list *-MEL.json, found {listed}.")
    names, texts = (_read_texts(need_file(folder, name)) for name in ("qid2ne.json", "qid2abs.json"))
    samples = {}
    for key, item in read_json_object(files[0]).items():
        place = f"{files[0]}: sample {key[:80]!r}"
        if not isinstance(item, dict):
            raise DataError(f"{place} is {type(item).__name__}; expected an object.")
        samples[key] = _read_sample(item, "mentions", place)
    return samples, names, texts


def _read_diverse(path: Path) -> _Read:
    samples: dict[str, _Sample] = {}
    titles: dict[str, Counter[str]] = {}
    for number, item in enumerate(read_json_list(path)):
        place = f"{path}: item {number} (from 0)"
        key = item.get("id")
        if type(key) is not int:
            raise DataError(f"{place}: id is {key!r:.80}; expected a whole number.")
        if str(key) in samples:
            raise DataError(f"{place}: id {key} was given before, to {samples[str(key)].place}.")
        sample = samples[str(key)] = _read_sample(item, "mention", place)
        known = need_texts(item, "entity", place)
        if len(known) != len(sample.answers):
            raise DataError(f"{place}: {len(known)} entities and {len(sample.answers)} answers; expected as many.")
        for qid, title in zip(sample.answers, known, strict=True):
            titles.setdefault(qid, Counter())[title] += 1
    # most_common keeps the order of first appearance among equal counts.
    return samples, {qid: counts.most_common(1)[0][0] for qid, counts in titles.items()}, {}


def _sample_files(folder: Path) -> list[Path]:
    endings = tuple(f"-MEL.json{suffix}" for suffix in SUFFIXES)
    return [path for path in list_files(folder) if path.name.endswith(endings)]


def _read_texts(path: Path) -> dict[str, str]:
    content = read_json_object(path)
    return {qid: need_text(content, qid, str(path)) for qid in content}


def _read_splits(content: Mapping[str, Any], samples: Mapping[str, _Sample], path: Path) -> dict[str, list[str]]:
    """Sample ids of each split, each in one split only."""
    splits: dict[str, list[str]] = {}
    for name, ids in content.items():
        split = _SPLIT_NAMES.get(name)
        if split is None or split in splits:
            raise DataError(f"{path}: split {name[:80]!r}; expected train, test and at most one of dev, val, valid.")
        if not isinstance(ids, list) or not {type(key) for key in ids} <= {str, int}:
            raise DataError(f"{path}: {name!r} must be a list of sample ids, found {str(ids)[:80]}.")
        splits[split] = [str(key) for key in ids]
    if not {"train", "test"} <= splits.keys():
        raise DataError(f"{path} has the splits {', '.join(splits) or 'none'}; expected train, test and perhaps dev.")
    if "valid" not in splits:
        splits["train"], splits["valid"] = _hold_out(splits["train"], path)
    return _without_overlap(_without_unknown(splits, samples, path), path)


def _hold_out(train: list[str], path: Path) -> tuple[list[str], list[str]]:
    kept = len(train) - len(train) // 8
    warnings.warn(
        f"{path} has no dev list; the last {len(train) - kept:,} of {len(train):,} training samples are the valid "
        "split.",
        stacklevel=2,
    )
    return train[:kept], train[kept:]


def _without_unknown(
    splits: Mapping[str, list[str]], samples: Mapping[str, _Sample], path: Path
) -> dict[str, list[str]]:
    known = {split: [key for key in keys if key in samples] for split, keys in splits.items()}
    total, found = (sum(map(len, lists.values())) for lists in (splits, known))
    if found < total:
        warnings.warn(f"{path}: {total - found:,} of {total:,} ids have no sample and are left out.", stacklevel=2)
    return known


def _without_overlap(splits: Mapping[str, list[str]], path: Path) -> dict[str, list[str]]:
    last = {key: split for split in SPLITS for key in splits[split]}
    kept = {split: [key for key in dict.fromkeys(splits[split]) if last[key] == split] for split in SPLITS}
    repeated = sum(map(len, splits.values())) - len(last)
    if repeated:
        warnings.warn(
            f"{path}: {repeated:,} ids stand there a second time; the sample counts for the last of "
            f"{', '.join(SPLITS)} that has it.",
            stacklevel=2,
        )
    return kept


def _mentions(samples: Sequence[_Sample], rows: Mapping[str, int], images: NamedImages) -> tuple[LabelledMention, ...]:
    found = []
    for sample in samples:
        image = mention_image(images, sample.image)
        for text, qid in zip(sample.mentions, sample.answers, strict=True):
            if qid not in rows:
                raise DataError(f"{sample.place}: answer {qid[:80]!r} has no name in qid2ne.json.")
            found.append(LabelledMention(text, sample.sentence, image, rows[qid]))
    return tuple(found)
