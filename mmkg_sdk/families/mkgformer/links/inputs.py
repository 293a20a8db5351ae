"""From a knowledge graph to what MKGformer's link prediction reads: texts as word pieces, images as pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....data.graph import SPLITS, DataSet, KnowledgeGraph
from ....data.layouts.mkgformer import choose_images, in_text_order
from ....data.open import AnyData
from ....data.sentences import SentenceImages
from ....errors import ExportError
from ....registry import LINK_PREDICTION
from ....run import RunData
from ...link_prediction import check_graph_sizes, knowledge_graph, link_prediction_data, numbered_graph
from ...official import stored_array
from ..config import MKGformerConfig
from ..images import stored_images
from ..texts.preparation import LinkTexts, SpecialTokens, link_texts
from ..texts.tokenizer import TOKENIZER, make_tokenizer, tokenizer_sizes
from .texts import text_arrays


def config_for(dataset: AnyData, settings: Mapping[str, Any]) -> MKGformerConfig:
    """The configuration: entities, relations and word pieces from the data, the rest from settings.

    The entities are the lines of the published text file where there is one, else those of the graph.
    """
    dataset = in_text_order(knowledge_graph(dataset, "mkgformer"))
    sizes = {
        "task": LINK_PREDICTION,
        "num_entities": len(dataset.graph.entities),
        "num_relations": len(dataset.graph.relations),
        **tokenizer_sizes(settings, _all_texts(dataset)),
    }
    return MKGformerConfig.from_json({**settings, **sizes})


def run_data(dataset: AnyData, config: MKGformerConfig) -> RunData:
    """What a run holds of a data set: labels, triples, tokenizer.json, and

    * inputs: the word pieces of all texts (`text_arrays`); image_rows int64 [num_entities], rows of the images or -1;
    * images: the images of each distinct set (`stored_images`), the first as a whole and six more smaller.

    Entities without a text are told by their label.
    """
    dataset = in_text_order(knowledge_graph(dataset, "mkgformer"))
    tokenizer = make_tokenizer(config, _all_texts(dataset))
    texts = link_texts(tokenizer, entity_texts(dataset), relation_texts(dataset), config.max_length)
    shown = [choose_images(dataset.images.get(label, ())) for label in dataset.graph.entities]
    image_rows, pixels = stored_images(shown, config)
    files = {TOKENIZER: tokenizer.to_str().encode()}
    return _with_inputs(dataset.graph, texts, image_rows, pixels, files)


def entity_texts(dataset: DataSet) -> list[str]:
    """What is read about each entity: its published text, else its description, else its label."""
    given = dataset.entity_texts or dataset.descriptions
    return [given.get(label, label) for label in dataset.graph.entities]


def relation_texts(dataset: DataSet) -> list[str]:
    """What is read about each relation: its published text, else its label."""
    return [dataset.relation_texts.get(label, label) for label in dataset.graph.relations]


def stored_data(fields: Mapping[str, NDArray[Any]], path: Path, config: MKGformerConfig) -> RunData:
    """What a run holds, from the authors' tensors: entities and relations are named by their ids and have neither texts
    nor images, for the tensors are those of a few questions. With `train_triples`, `valid_triples` and
    `test_triples` int64 [n, 3] there are known triples, too.

    Args:
        fields: among them `input_ids` and `attention_mask`, from whose first row [CLS] and [SEP] are known.

    Raises:
        ExportError: an array is missing or does not fit.
    """
    assert config.num_entities is not None
    assert config.num_relations is not None
    input_ids, mask = (stored_array(fields, name, "iu", path) for name in ("input_ids", "attention_mask"))
    if input_ids.shape != mask.shape or not mask[:1].any():
        raise ExportError(f"{path}: input_ids and attention_mask differ in shape, or the first text has no token.")
    # No question has an unknown piece, so -1 can hold the entity's place in each.
    first, last = int(input_ids[0, 0]), int(input_ids[0, mask[0].astype(bool)][-1])
    special = SpecialTokens(pad=0, unknown=-1, first=first, last=last, mask=config.mask_token_id)
    none = [()] * config.num_entities, [()] * config.num_relations
    texts = LinkTexts(special, *none, (), (), 0, 0, config.max_length)
    triples = fields
    if not any(f"{split}_triples" in fields for split in SPLITS):
        triples = {f"{split}_triples": np.empty((0, 3), np.int64) for split in SPLITS}
    graph = numbered_graph(path, triples, config.num_entities, config.num_relations)
    image_rows, pixels = stored_images([SentenceImages()] * config.num_entities, config)
    return _with_inputs(graph, texts, image_rows, pixels, {})


def check_data(data: RunData, config: MKGformerConfig) -> None:
    """Whether the data fit a configuration.

    Raises:
        ExportError: another number of entities or relations, or word pieces that the model does not have.
    """
    assert config.num_entities is not None
    assert config.num_relations is not None
    check_graph_sizes(data, config.num_entities, config.num_relations)
    largest = max((int(a.max()) for a in data.tensors["inputs"].values() if a.dtype == np.int32 and len(a)), default=0)
    if largest >= config.base_vocabulary_size:
        raise ExportError(
            f"{data.name} has the word piece {largest}, the checkpoint's vocabulary {config.base_vocabulary_size:,}. "
            "Pass the vocabulary that it was trained with."
        )


def _all_texts(dataset: DataSet) -> list[str]:
    return [*entity_texts(dataset), *relation_texts(dataset)]


def _with_inputs(
    graph: KnowledgeGraph,
    texts: LinkTexts,
    image_rows: NDArray[np.int64],
    pixels: Mapping[str, NDArray[Any]],
    files: Mapping[str, bytes],
) -> RunData:
    data = link_prediction_data(graph, {**text_arrays(texts), "image_rows": image_rows})
    return RunData(data.name, data.labels, {**data.tensors, "images": pixels}, files)
