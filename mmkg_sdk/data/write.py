"""Writing a data set in our own layout; reading it again gives the same data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files.folders import new_folder
from ..files.labels import Labels
from ..files.tensors import write_tensors
from ..files.text import write_lines
from ..modalities.stored_tokenizers import TOKENIZERS, packed_tokenizers
from ..registry import PUBLISHED_MODALITIES
from .features.files import write_features
from .folders import DATA_SET
from .graph import SPLITS, DataSet
from .layouts.descriptions import escape
from .tokens.files import FORMAT_VERSION, FURTHER_FORMAT_VERSION


def write_dataset(dataset: DataSet, folder: Path) -> None:
    """Write entities.txt, relations.txt, the splits, texts, token files and features; all or nothing.

    The name of the graph is not stored: reading gives it the folder's name.

    Raises:
        DataError: if the folder has content already, or a label holds a tab, starts with a byte order mark or
            cannot be written as UTF-8.
    """
    graph = dataset.graph
    for labels in (graph.entities, graph.relations):
        _check_labels(labels)
    with new_folder(folder, DATA_SET) as place:
        write_lines(place / "entities.txt", graph.entities)
        write_lines(place / "relations.txt", graph.relations)
        for split in SPLITS:
            triples = graph.split(split).tolist()
            lines = (f"{graph.entities[h]}\t{graph.relations[r]}\t{graph.entities[t]}" for h, r, t in triples)
            write_lines(place / f"{split}.txt", lines)
        for name in ("descriptions", "entity_texts", "relation_texts", "source_ids"):
            texts: Mapping[str, str] = getattr(dataset, name)
            if texts:
                write_lines(place / f"{name}.tsv", (f"{label}\t{escape(text)}" for label, text in texts.items()))
        _write_tokens(dataset, place)
        write_features(place, dataset)


def _check_labels(labels: Labels) -> None:
    for label in labels:
        unwritable = "\t" in label or label.startswith("\ufeff") or any("\ud800" <= char <= "\udfff" for char in label)
        if unwritable:
            raise DataError(
                f"{labels.kind} label {label!r} cannot stand in a text file: it holds a tab, a surrogate, or "
                "starts with a "
                "byte order mark. Rename it."
            )


def _write_tokens(dataset: DataSet, place: Path) -> None:
    further = set(dataset.tokens).difference(PUBLISHED_MODALITIES)
    notes: dict[str, object] = {"format_version": FURTHER_FORMAT_VERSION if further else FORMAT_VERSION}
    codebooks = {}
    for modality, raw in dataset.tokens.items():
        lists = {label: [int(token) for token in tokens] for label, tokens in raw.lists.items()}
        for label in lists:
            if label not in dataset.graph.entities:
                raise DataError(f"the {modality} tokens name {label!r}, which is no entity of the data set.")
        text = json.dumps(lists, ensure_ascii=False)
        write_lines(place / f"{modality}-tokens.json", [text])
        codebooks[modality] = np.ascontiguousarray(raw.codebook, dtype=np.float32)
        notes[modality] = {
            "tokenizer": raw.tokenizer,
            "vocabulary_size": raw.vocabulary_size,
            "pad_id": raw.pad_id,
        }
    if made_by := {name: raw.made_by for name, raw in dataset.tokens.items() if raw.made_by is not None}:
        (place / TOKENIZERS).write_bytes(packed_tokenizers(made_by))
    if codebooks:
        with (place / "codebooks.safetensors").open("wb") as file:
            write_tensors(file, codebooks)
        write_lines(place / "tokens.json", [json.dumps(notes, indent=1, ensure_ascii=False)])
