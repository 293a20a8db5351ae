"""What the link prediction families share: data, and how a torch model of theirs answers queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends.torch_precision import full_float32
from ..data.graph import SPLITS, DataSet, KnowledgeGraph
from ..data.open import AnyData, kind_of
from ..errors import DataError, ExportError
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, Ranks
from ..ranking.known_triples import HEAD, AnswerLists, Queries
from ..run import RunData
from .official import stored_array
from .tensor_ranks import tensor_ranks

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def knowledge_graph(dataset: AnyData, family: str) -> DataSet:
    """The data set itself, if it is a knowledge graph.

    Raises:
        DataError: it is not.
    """
    if not isinstance(dataset, DataSet):
        raise DataError(f"{family} completes knowledge graphs, but {dataset.name} holds {kind_of(dataset)}.")
    return dataset


def numbered_graph(
    path: Path, fields: Mapping[str, NDArray[Any]], num_entities: int, num_relations: int
) -> KnowledgeGraph:
    """The triples of an .npz, which has no labels: entities and relations are named by their ids.

    Raises:
        ExportError: an array is missing or names what there is not.
    """
    triples = [stored_array(fields, f"{split}_triples", "iu", path).astype(np.int64) for split in SPLITS]
    try:
        return KnowledgeGraph(
            path.parent.name,
            Labels((f"entity {i}" for i in range(num_entities)), kind="entity"),
            Labels((f"relation {i}" for i in range(num_relations)), kind="relation"),
            *triples,
        )
    except DataError as err:
        raise ExportError(f"{path} does not fit the checkpoint: {err}") from err


def check_graph_sizes(data: RunData, num_entities: int, num_relations: int) -> None:
    """Whether the data have as many entities and relations as the checkpoint.

    Raises:
        ExportError: they do not.
    """
    found = (len(data.labels["entities"]), len(data.labels["relations"]))
    if found != (num_entities, num_relations):
        raise ExportError(
            f"the checkpoint has {num_entities} entities and {num_relations} relations, the data set {data.name} has "
            f"{found[0]} and {found[1]}. Pass the data set that the checkpoint was trained on."
        )


@dataclass(frozen=True)
class LinkScorer:
    """How a torch model answers a chunk of queries; its tables were made once.

    Attributes:
        tensor_scores: of all entities, [batch, num_entities] in the model's own dtype, on its device.
        query_vectors: what the family's `candidate_score` compares with the rows of `table`, [batch, width].
        table: the encoded entities, float32 [num_entities, width]; None where the model runs on a GPU or in float64,
            and had better score by itself.
        device: of the model.
    """

    tensor_scores: Callable[[Queries], Tensor]
    query_vectors: Callable[[Queries], NDArray[Any]]
    table: NDArray[Any] | None
    device: torch.device

    def __call__(self, queries: Queries) -> NDArray[Any]:
        """The scores, on the host."""
        import torch

        with torch.inference_mode():
            found: NDArray[Any] = self.tensor_scores(queries).cpu().numpy()
        return found

    def rank(
        self, queries: Queries, targets: NDArray[np.int64], known: AnswerLists, protocol: RankingProtocol
    ) -> Ranks:
        """Filtered ranks of the right answers, counted where the scores are; float32 is full, never TF32.

        Args:
            queries: repeated ones are scored once.
            targets: int64 [batch].
            known: all known answers of each query; the target may be among them.
            protocol: the rule for equal scores and known answers.

        Raises:
            BackendError: if a score is NaN.
        """
        import torch

        asked, places = queries.distinct()
        with full_float32(self.device), torch.inference_mode():
            scores = self.tensor_scores(asked)
            return tensor_ranks(scores[torch.as_tensor(places, device=self.device)], targets, known, protocol)


def host_table(table: Any) -> NDArray[Any] | None:
    """A tensor of encoded entities as the `table` of a LinkScorer."""
    import torch

    return table.numpy() if table.device.type == "cpu" and table.dtype == torch.float32 else None


def link_scorer(model: Any) -> LinkScorer:
    """Scores of all entities for a chunk of queries; the model's tables are made once, now.

    Args:
        model: a torch module with `entity_table()`, `relation_table()`, `scores(entities, relations, queries)`,
            `query_vectors(entities, relations, queries)` and `config.num_entities`, which stands for the missing entity
            in queries int64 [B, 3]. Left in eval mode.
    """
    import torch

    with torch.inference_mode():
        model.eval()
        entities, relations = model.entity_table(), model.relation_table()

    def asked(queries: Queries) -> Any:
        missing = np.full(len(queries), model.config.num_entities)
        asks_head = queries.direction == HEAD
        head, tail = np.where(asks_head, missing, queries.entity), np.where(asks_head, queries.entity, missing)
        return torch.as_tensor(np.stack([head, queries.relation, tail], axis=1), device=entities.device)

    def scores(queries: Queries) -> Tensor:
        found: Tensor = model.scores(entities, relations, asked(queries))
        return found

    def query_vectors(queries: Queries) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = model.query_vectors(entities, relations, asked(queries)).cpu().numpy()
        return found

    return LinkScorer(scores, query_vectors, host_table(entities[: model.config.num_entities]), entities.device)


def link_prediction_data(
    graph: KnowledgeGraph, inputs: Mapping[str, NDArray[Any]], files: Mapping[str, bytes] | None = None
) -> RunData:
    """A graph, and what the family's encoder is fed.

    Args:
        inputs: name -> array, one row per entity.
        files: further ones that the bundle will have, too.
    """
    return RunData(
        graph.name,
        {"entities": graph.entities, "relations": graph.relations},
        {"triples": {split: graph.split(split) for split in SPLITS}, "inputs": inputs},
        files or {},
    )
