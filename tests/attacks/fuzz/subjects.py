"""The bundles that are changed: those of 0.2.0, with seal, answers and index, which exports write since then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

import mmkg_sdk
from mmkg_sdk.answering.asked import answers
from mmkg_sdk.answering.opening import Answerer
from tests.attacks.reseal import change_manifest, reseal

RELEASED = Path(__file__).parents[2] / "released" / "0.2.0"
SUBJECTS = tuple(sorted(path.parent.name for path in RELEASED.glob("*/bundle.json")))
# Compiled kernels where there are some, and both backends.
INDEX = "known_triples.safetensors"
WAYS = ("auto", "onnxruntime", "torch")

# Name -> the labels that were given (no label: plain numbers), and the number for each.
Answer = dict[str, tuple[list[str], np.ndarray]]


def make_subjects(folder: Path) -> dict[str, Path]:
    """Copies of all bundles, as this version would export them."""
    made = {}
    for name in SUBJECTS:
        made[name] = folder / name
        shutil.copytree(RELEASED / name, made[name])
        with mmkg_sdk.load(made[name], "onnxruntime", "cpu", threads=1) as opened:
            probes = load_file(made[name] / "probes.safetensors") | answers(opened)
            if isinstance(opened, mmkg_sdk.Model):
                save_file(opened.bundle.known_triples.arrays(), made[name] / INDEX)
                change_manifest(made[name], lambda manifest: manifest["files"].update({INDEX: {}}))
        save_file(probes, made[name] / "probes.safetensors")
        reseal(made[name])
    return made


def ask(opened: Answerer, name: str) -> Answer:
    """Everything that a bundle is asked: the kept questions, and those of tests/released in labels."""
    found: Answer = {key: ([], array) for key, array in answers(opened).items()}
    if isinstance(opened, mmkg_sdk.Model):
        found |= _all_links(opened)
    if (opened.bundle.path / "tokenizer.json").exists() or isinstance(opened, mmkg_sdk.Model):
        found |= _in_labels(opened, name)
    return found


def _all_links(model: mmkg_sdk.Model) -> Answer:
    """Every question about the first entities, all entities in order of their labels; and each entity encoded again."""
    found: Answer = {}
    for entity in model.entities[:3]:
        for relation in model.relations:
            for known in (False, True):
                (ranking,) = model.predict_tails(entity, relation, k=len(model.entities), filter_known=known)
                pairs = sorted(zip(ranking.labels, ranking.scores.tolist(), strict=True))
                found[f"({entity}, {relation}, ?) {known}"] = _columns(pairs)
    if model.bundle.family == "mygo":
        vectors = model.encode_entities(visual_tokens=[[0, 1], []], text_tokens=[[1], [0]])
        found["encoded"] = [], vectors
    if model.bundle.family == "adamf_mat":
        inputs = model.bundle.inputs
        vectors = model.encode_entities(
            visual_features=inputs["visual_features"][:2], visual_mask=np.array([False, True])
        )
        found["encoded"] = [], vectors
    return found


def _in_labels(opened: Answerer, name: str) -> Answer:
    found: Answer = {}
    kept: list[dict[str, Any]] = json.loads((RELEASED / f"{name}.json").read_text())["answers"]
    for number, question in enumerate(answer["question"] for answer in kept):
        if isinstance(opened, mmkg_sdk.Linker):
            mention = mmkg_sdk.Mention(question["mention"], question["sentence"])
            (link,) = opened.link_mentions([mention], k=len(opened.entities))
            pairs = sorted(zip(link.labels, link.scores.tolist(), strict=True))
        elif isinstance(opened, mmkg_sdk.Extractor):
            asked = mmkg_sdk.RelationMention(question["sentence"], tuple(question["head"]), tuple(question["tail"]))
            (extracted,) = opened.extract_relations([asked])
            pairs = sorted(extracted.ranked())
        elif isinstance(opened, mmkg_sdk.Tagger):
            (tagged,) = opened.tag([question["sentence"]])
            pairs = [(f"{entity.kind} {entity.words} {entity.text}", 0.0) for entity in tagged]
        else:
            continue
        found[f"question {number}"] = _columns(pairs)
    return found


def _columns(pairs: list[tuple[str, float]]) -> tuple[list[str], np.ndarray]:
    return [label for label, _ in pairs], np.array([score for _, score in pairs])


def same(found: Answer, wanted: Answer, limit: float) -> bool:
    """Equal labels, and numbers as near as verification asks for."""
    if found.keys() != wanted.keys():
        return False
    for name, (labels, numbers) in wanted.items():
        other_labels, others = found[name]
        if labels != other_labels or numbers.shape != others.shape:
            return False
        scale = float(np.sqrt(np.mean(np.square(numbers)))) if numbers.size else 1.0
        if numbers.size and not np.abs(numbers - others).max() <= limit * (scale or 1.0):
            return False
    return True
