"""From sentences to what MKGformer reads: relation extraction and entity recognition."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....data.graph import SPLITS
from ....data.open import AnyData, kind_of
from ....data.sentences import RelationData, TaggingData
from ....errors import DataError, ExportError, QueryError
from ....files.labels import Labels
from ....modalities.words import count_cut
from ....registry import ENTITY_RECOGNITION, RELATION_EXTRACTION
from ....run import RunData
from ...official import stored_rows
from ..config import NO_TOKENIZER, MKGformerConfig
from ..images import NO_IMAGES, groups, stored_images
from ..texts.preparation import MARKERS, TAG_CLASSES, tag_labels
from ..texts.tokenizer import TOKENIZER, make_tokenizer, tokenizer_sizes
from .runtime import MARKER_TOKENS, relation_texts, seen_images, spans_read, tagging_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Arrays = dict[str, NDArray[Any]]
_TEXT = ("input_ids", "attention_mask", "token_type_ids")
# The authors' arrays of images, by ours.
_IMAGES = {"aux": "aux_values", "rcnn": "rcnn_values"}


def config_for(dataset: AnyData, settings: Mapping[str, Any]) -> MKGformerConfig:
    """The configuration: task, number of labels and word pieces from the data, the rest from settings.

    Raises:
        DataError: the data are of another kind, or the settings ask for another task.
    """
    data = _sentence_data(dataset)
    task = RELATION_EXTRACTION if isinstance(data, RelationData) else ENTITY_RECOGNITION
    if settings.get("task", task) != task:
        raise DataError(f"task is {settings['task']!r}, but {data.name} holds data for {task}. Leave the setting out.")
    num_labels = len(data.relations) if isinstance(data, RelationData) else len(TAG_CLASSES)
    sizes = {"task": task, "num_labels": num_labels}
    return MKGformerConfig.from_json(
        {**settings, **sizes, **tokenizer_sizes(settings, _training_texts(data), _added(task))}
    )


def run_data(dataset: AnyData, config: MKGformerConfig) -> RunData:
    """What a run holds of a data set, by NAME.safetensors:

    * sentences-train, sentences-valid, sentences-test: input_ids, attention_mask, token_type_ids int64
      [n, max_length]; image_rows int64 [n], rows of the images or -1; labels int64, relations [n] or classes of word
      pieces [n, max_length]. Sentences whose head or tail begins behind `max_length` are left out, with a warning for
      those of training; `unread` int64 [m] are their labels, for evaluation.
    * images: the crops as `stored_images` gives them. The whole image is not kept: the model does not look at it.

    Raises:
        DataError: a text holds half of a surrogate pair, every training sentence would be left out, or the data are of
            another kind.
    """
    data = _sentence_data(dataset)
    tokenizer = make_tokenizer(config, _training_texts(data), _added(config.task))
    shown = [seen_images(one.images, config) for split in SPLITS for one in data.split(split)]
    rows, pixels = stored_images(shown, config)
    tensors: dict[str, Arrays] = {"images": pixels}
    for split in SPLITS:
        count = len(data.split(split))
        try:
            tensors[f"sentences-{split}"] = _encoded(data, split, rows[:count], tokenizer, config)
        except QueryError as err:
            raise DataError(f"{data.name}, {split} split: {err}") from err
        rows = rows[count:]
    labels = {"relations": data.relations} if isinstance(data, RelationData) else {"tags": tag_names(config)}
    return RunData(data.name, labels, tensors, {TOKENIZER: tokenizer.to_str().encode()})


def stored_data(fields: Mapping[str, NDArray[Any]], path: Path, config: MKGformerConfig) -> RunData:
    """What a run holds, from the authors' tensors, which become the test split.

    Raises:
        ExportError: an array is missing or does not fit.
    """
    if config.tokenizer != NO_TOKENIZER:
        raise ExportError(f"{path} holds token ids, which need no tokenizer; leave the setting out.")
    length = (config.max_length,)
    of_words = length if config.task == ENTITY_RECOGNITION else ()
    texts = {}
    for name, shape in {**dict.fromkeys(_TEXT, length), "labels": of_words}.items():
        if shape:
            _check_length(fields.get(name), name, config, path)
        texts[name] = stored_rows(fields, name, "iu", shape, path).astype(np.int64)
    pixels = {
        name: stored_rows(fields, _IMAGES[name], "f", (count, 3, size, size), path).astype(np.float32)
        for name, (count, size) in groups(config).items()
    }
    texts["image_rows"] = np.arange(len(texts["input_ids"])) if pixels else np.full(len(texts["input_ids"]), NO_IMAGES)
    tensors: dict[str, Arrays] = {f"sentences-{split}": {n: a[:0] for n, a in texts.items()} for split in SPLITS}
    tensors |= {"sentences-test": texts, "images": pixels}
    if config.task == ENTITY_RECOGNITION:
        labels = {"tags": tag_names(config)}
    else:
        assert config.num_labels is not None
        labels = {"relations": Labels((f"relation {row}" for row in range(config.num_labels)), kind="relation")}
    return RunData(path.parent.name, labels, tensors)


def check_data(data: RunData, config: MKGformerConfig) -> None:
    """Whether the data fit a configuration.

    Raises:
        ExportError: another number of labels, ids or rows out of range, or a sentence without its markers.
    """
    assert config.num_labels is not None
    (labels,) = data.labels.values()
    if len(labels) != config.num_labels:
        raise ExportError(
            f"the checkpoint has {config.num_labels} {labels.kind} labels, the data set {data.name} has {len(labels)}. "
            "Pass the data set that the checkpoint was trained on."
        )
    limits = {
        "input_ids": config.vocabulary_size,
        "attention_mask": 2,
        "token_type_ids": config.num_token_types,
        "labels": config.num_labels,
        "image_rows": max((len(array) for array in data.tensors["images"].values()), default=0),
    }
    for split in SPLITS:
        sentences = data.tensors[f"sentences-{split}"]
        for name, limit in limits.items():
            array, least = sentences[name], NO_IMAGES if name == "image_rows" else 0
            if len(array) != len(sentences["input_ids"]):
                raise ExportError(f"{data.name}: {len(array)} {name} for {len(sentences['input_ids'])} sentences.")
            if array.size and not least <= array.min() <= array.max() < limit:
                raise ExportError(
                    f"{data.name}: {name} of the {split} split goes from {array.min()} to {array.max()}; expected "
                    f"{least} to {limit - 1}. Pass the data that the checkpoint was trained on."
                )
        mask = sentences["attention_mask"]
        if mask.size and (not mask[:, 0].all() or (np.diff(mask, axis=1) > 0).any()):
            raise ExportError(f"{data.name}: attention_mask of the {split} split is not a row of 1 with 0 behind it.")
        if config.task == RELATION_EXTRACTION:
            for name in ("<s>", "<o>"):
                token = config.base_vocabulary_size + MARKER_TOKENS[name]
                if ((sentences["input_ids"] == token).sum(axis=1) != 1).any():
                    raise ExportError(
                        f"{data.name}: a sentence of the {split} split has not exactly one {name} (id {token})."
                    )


def tag_names(config: MKGformerConfig) -> Labels:
    """The classes of word pieces; of a checkpoint with another number of them nobody knows the names."""
    assert config.num_labels is not None
    known = config.num_labels == len(TAG_CLASSES)
    return Labels(TAG_CLASSES if known else (f"class {row}" for row in range(config.num_labels)), kind="tag")


def _encoded(
    data: RelationData | TaggingData,
    split: str,
    image_rows: NDArray[np.int64],
    tokenizer: Tokenizer,
    config: MKGformerConfig,
) -> Arrays:
    """The arrays of a split."""
    if isinstance(data, TaggingData):
        sentences = [one.words for one in data.split(split)]
        pieces = tagging_texts(tokenizer, sentences, config)
        if cut := count_cut(pieces.words, pieces.attention_mask, sentences):
            warnings.warn(
                f"{data.name}: {cut:,} of {len(sentences):,} sentences of the {split} split have more than the "
                f"{config.max_length - 2} word pieces that the model reads; the words behind are neither learned nor "
                "measured, as in the published evaluation.",
                stacklevel=4,
            )
        labels = tag_labels(pieces, [one.tags for one in data.split(split)])
        return {**{name: getattr(pieces, name) for name in _TEXT}, "labels": labels, "image_rows": image_rows}
    queries = [(one.words, one.head, one.tail) for one in data.split(split)]
    read = spans_read(tokenizer, queries, config)
    texts = relation_texts(tokenizer, [query for query, kept in zip(queries, read, strict=True) if kept], config)
    labels = np.array([data.relations.find(one.relation) for one in data.split(split)], np.int64)
    if split == "train" and not read.all():
        first = " ".join(queries[int(np.argmin(read))][0])
        found = (
            f"{data.name}: {(~read).sum():,} of {len(read):,} training sentences are left out: their head or tail "
            f"begins behind the {config.max_length - 2} word pieces that the model reads; the first is {first!r:.80}. "
            "Set a larger max_length to read them."
        )
        if not read.any():
            raise DataError(found)
        warnings.warn(found, stacklevel=4)
    arrays = {**{name: getattr(texts, name) for name in _TEXT}, "labels": labels[read], "image_rows": image_rows[read]}
    return {**arrays, "unread": labels[~read]}


def _sentence_data(dataset: AnyData) -> RelationData | TaggingData:
    if not isinstance(dataset, RelationData | TaggingData):
        raise DataError(
            "mkgformer reads knowledge graphs, sentences with relations and sentences with tags, but these data hold "
            f"{kind_of(dataset)}."
        )
    return dataset


def _training_texts(data: RelationData | TaggingData) -> list[str]:
    return [" ".join(one.words) for one in data.train]


def _added(task: str) -> tuple[str, ...]:
    """The tokens that a task adds to the vocabulary."""
    return MARKERS if task == RELATION_EXTRACTION else ()


def _check_length(array: NDArray[Any] | None, name: str, config: MKGformerConfig, path: Path) -> None:
    """Outputs depend on the padding, so an array of another length cannot be cut or filled."""
    if array is not None and array.ndim == 2 and array.dtype.kind in "iu" and array.shape[1] != config.max_length:
        raise ExportError(
            f"{path}: {name} has {array.shape[1]} positions, the configuration says max_length {config.max_length}. "
            f"Outputs depend on the padding, so it must be the same: pass --set max_length={array.shape[1]}."
        )
