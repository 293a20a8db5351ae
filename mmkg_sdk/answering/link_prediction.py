"""Model: labels in, ranked labels out.

One query, from label to answer: `to_ids` (ids.py) -> query vector (the family's stand-in, or the query graph on a
backend) -> `top_k` over the entity table (backends/tables.py) -> `Predictions` (predictions.py).

On a GPU that ranks, table and weights lie there; ids and the rows of the entities that are asked about go in, and ids
and scores, k a query, come back. Query vectors stay. Where kernels make them, all of it is one CUDA graph
(backends/captured.py), and separate launches where there is no graph for what is asked; the answer is the same.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, DeviceArray
from ..backends.streams import thread_stream
from ..backends.tables import GpuRanking, pair_scores, plain_ranking
from ..bundle import Bundle
from ..errors import DataError, QueryError
from ..families import contract
from ..families.entity_batch import EntityBatch
from ..families.explained import EntityExplanation, QueryExplanation
from ..families.query_batches import QUERY_CHUNK
from ..families.runtimes import EntityRow, LinkStandIns
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, Ranks, TopK, check_scores
from ..ranking.known_triples import HEAD, TAIL, AnswerLists, KnownTriples, Queries
from ..registry import LINK_PREDICTION
from .answers.predictions import Predictions
from .candidates import Candidates
from .encoding import encode_in_chunks
from .entity_table import EntityTable, candidates_left, entity_chunk, joined, no_answers
from .ids import Names, aligned_ids, check_new_labels, checked_k, to_ids
from .one_call import OneCall
from .opened import Opened, reopened

# Entities that are encoded at a time by kernels, and put in their place: 16 MiB of vectors of 256 numbers.
ENCODED_ROWS = 1 << 14


class Model(Opened):
    """A bundle, opened on one backend. Safe to call from several threads.

    Scores: higher is better; they are comparable within one query only, and have no natural threshold.

    Entities and relations are given as labels or ids, one or many; two lists are paired, and a single value is
    paired with every one of the other list.
    """

    task = LINK_PREDICTION

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        self._runtime = contract.link_runtime(bundle.family)
        self._stand_ins = LinkStandIns()
        if compiled:
            self._stand_ins = self._runtime.stand_ins(bundle, backend.device, backend.threads)
        self._one_call = OneCall(self._stand_ins.query)
        super().__init__(bundle, backend, compiled=compiled)
        self.relations = bundle.relations
        self._score = contract.link_config(bundle.config).candidate_score
        self._entities = self._open_table()
        if not self._entities.ranking.reads_table:
            bundle.release()  # it was read to be copied
        self._lock = threading.Lock()

    def _open_table(self) -> EntityTable:
        return EntityTable.of(self.bundle.entities, self.bundle.encoded, self._score, self.backend)

    @property
    def has_stand_ins(self) -> bool:
        """See Opened."""
        return self._stand_ins != LinkStandIns()

    @property
    def entities(self) -> Labels:
        """Labels of all entities, those added later at the end."""
        return self._entities.labels

    @property
    def table(self) -> NDArray[np.float32]:
        """The encoded entities, float32 [num_entities, width]; a copy if entities were added (docs/scale.md)."""
        return self._entities.table

    def predict_tails(
        self,
        heads: Names,
        relations: Names,
        k: int = 10,
        *,
        filter_known: bool | None = None,
        candidates: Names | Candidates | None = None,
    ) -> Predictions:
        """The k most likely tails of each (head, relation, ?).

        Args:
            k: answers per query, 1 to 3,840; cut to the number of candidates.
            filter_known: leave out tails that the training, validation or test triples already give; the answer says
                which (`Ranking.known`). None: so it is where all entities are candidates, and not where you name them.
            candidates: rank only these entities; repeated ones count once. None = all. For many calls with the same
                ones prepare them: `candidates`.

        Raises:
            QueryError: unknown label, id out of range, unequal lengths, k out of range.
            BackendError: the graph failed or gave NaN.
        """
        head, relation = aligned_ids(("heads", heads, self.entities), ("relations", relations, self.relations))
        queries = Queries(head, relation, np.full(len(head), TAIL))
        return self.predict_queries(queries, k, filter_known=filter_known, candidates=candidates)

    def predict_heads(
        self,
        relations: Names,
        tails: Names,
        k: int = 10,
        *,
        filter_known: bool | None = None,
        candidates: Names | Candidates | None = None,
    ) -> Predictions:
        """The k most likely heads of each (?, relation, tail); arguments as in `predict_tails`."""
        relation, tail = aligned_ids(("relations", relations, self.relations), ("tails", tails, self.entities))
        queries = Queries(tail, relation, np.full(len(tail), HEAD))
        return self.predict_queries(queries, k, filter_known=filter_known, candidates=candidates)

    def predict_queries(
        self,
        queries: Queries,
        k: int = 10,
        *,
        filter_known: bool | None = None,
        candidates: Names | Candidates | None = None,
    ) -> Predictions:
        """The k most likely answers of queries as ids, in both directions; arguments as in `predict_tails`."""
        entities = self._entities
        chosen = None if candidates is None else self.candidates(candidates).ids_for(self.bundle)
        k = min(checked_k(k), len(entities) if chosen is None else len(chosen))
        filters = chosen is None if filter_known is None else filter_known
        known = self.bundle.known_triples if filters else None
        if not k:
            found = no_answers(len(queries))
        elif call := self._one_call.of(entities.ranking):
            found = call.top_k(queries, k, known, chosen)
        else:
            found = self._in_steps(entities, queries, k, known, chosen)
        return Predictions(found, queries, known, chosen, entities.labels, self.relations, k)

    def candidates(self, entities: Names | Candidates) -> Candidates:
        """Entities as `predict_tails` and `predict_heads` take them, looked up and sorted now and in no call.

        Raises:
            QueryError: unknown label, id out of range.
        """
        if isinstance(entities, Candidates):
            return entities
        return Candidates.of(to_ids(entities, self.entities), self.bundle)

    def score_tails(self, heads: Names, relations: Names) -> NDArray[np.float32]:
        """Scores of every entity as tail, float32 [batch, num_entities]; known triples are not filtered."""
        head, relation = aligned_ids(("heads", heads, self.entities), ("relations", relations, self.relations))
        return self.score_queries(Queries(head, relation, np.full(len(head), TAIL)))

    def score_heads(self, relations: Names, tails: Names) -> NDArray[np.float32]:
        """Scores of every entity as head, float32 [batch, num_entities]; known triples are not filtered."""
        relation, tail = aligned_ids(("relations", relations, self.relations), ("tails", tails, self.entities))
        return self.score_queries(Queries(tail, relation, np.full(len(tail), HEAD)))

    def score_triples(self, heads: Names, relations: Names, tails: Names) -> NDArray[np.float32]:
        """The score of each triple as a tail prediction, float32 [batch].

        Where compiled kernels rank on the CPU, it has the very bits of the score that `predict_tails` gives this tail.
        """
        head, relation, tail = aligned_ids(
            ("heads", heads, self.entities),
            ("relations", relations, self.relations),
            ("tails", tails, self.entities),
        )
        vectors = self.query_vectors(Queries(head, relation, np.full(len(head), TAIL)))
        return pair_scores(vectors, self._entities.rows(tail), self._score, threads=self.backend.threads)

    def entity_vectors(self, entities: Names) -> NDArray[np.float32]:
        """The encoded entities, float32 [n, width]."""
        known = self._entities
        return known.rows(to_ids(entities, known.labels))

    def query_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """What the entities of the table are scored against, float32 [batch, width], finite."""
        entities = self._entities
        if self._stand_ins.query is not None:
            return self._stand_ins.query.query_vectors(*entities.nearest(queries))
        table, queries = entities.asked(queries)
        vectors = np.empty((len(queries), table.shape[1]), dtype=np.float32)
        for rows, inputs in self._runtime.query_batches(self.bundle, table, queries):
            vectors[rows] = self.run_graph("query_encoder", inputs, ["queries"])["queries"]
        return vectors

    def placed_query_vectors(self, queries: Queries) -> DeviceArray:
        """What `query_vectors` gives, on the backend's device: `torch.from_dlpack(...)` and CuPy's read it there.

        Nobody has looked for NaN and infinity.
        """
        placed = self._placed_vectors(self._entities, queries)
        if stream := thread_stream(self.backend.device):
            stream.synchronize()  # others know nothing of the stream that the kernels write it on
        return placed

    def score_queries(self, queries: Queries) -> NDArray[np.float32]:
        """Scores of all entities for each query, float32 [batch, num_entities]."""
        vectors = self.query_vectors(queries)
        scores = np.concatenate([self._score(vectors, rows) for rows in self._entities.parts], axis=1)
        check_scores(scores)
        return scores

    def rank_answers(
        self, queries: Queries, targets: NDArray[np.int64], known: AnswerLists, protocol: RankingProtocol
    ) -> Ranks:
        """Filtered ranks of the right answers among all entities, without a matrix of scores.

        Args:
            queries: repeated ones are encoded once.
            targets: int64 [batch], the right answers.
            known: all known answers of each query; the target may be among them.
            protocol: the rule for equal scores and known answers.

        Raises:
            BackendError: the graph failed or gave NaN.
        """
        asked, places = queries.distinct()
        # By the host, where the vectors are checked and repeated: a thousandth of the scores that nobody copies.
        vectors = self.query_vectors(asked)[places]
        return self._entities.ranking.ranks(vectors, targets, known, protocol, self.backend.stream())

    def encode_entities(self, **modalities: Any) -> NDArray[np.float32]:
        """Encode entities; no new export, no torch.

        Args:
            modalities: what the family's encoder takes (`entity_batch` in its runtime.py says it in full).
                MyGO: tokens: by modality ("visual", "text", further ones) codebook rows, int64 [n, tokens], or one list
                per entity; masks: by modality with arrays.
                AdaMF-MAT: features: by modality float32 [n, width], left out where all lack them; masks: bool [n].
                Both: texts, one for each entity, and images (paths, bytes, uint8 arrays, images of Pillow; of one
                entity None, one, or a list): their tokens are those that `data tokenize` would give.
                Both: visual_tokens, text_tokens, visual_features, text_features, visual_mask and text_mask are other
                spellings; structure float32 [n, width]; None takes the mean of the trained ones, for an entity that was
                not trained has none and the papers do not treat new entities.

        Returns:
            float32 [n, width].

        Raises:
            QueryError: wrong shape or dtype, a token that the codebook does not have, NaN; an image that cannot be
                read; a bundle that does not hold what made its tokens.
        """
        return self.encode_batch(self.entity_batch(**modalities))["vectors"]

    def entity_batch(self, **modalities: Any) -> EntityBatch:
        """The arguments of `encode_entities`, checked, as what `encode_batch` takes. Raises QueryError."""
        check = self._runtime.entity_batch
        try:
            inspect.signature(check).bind(self.bundle, **modalities)
        except TypeError as err:
            raise QueryError(f"{self.bundle.family} encodes entities from other arguments: {err}.") from err
        return check(self.bundle, **modalities)

    def encode_batch(self, batch: EntityBatch, graph: str | None = None) -> dict[str, NDArray[np.float32]]:
        """All outputs of one of the encoder graphs; None takes the fastest way to them that this model has.

        That is what the family has in place of a graph, or the fastest of its graphs.
        """
        if graph is None and (encoder := self._stand_ins.encoder) is not None:
            if len(batch) <= ENCODED_ROWS:
                return encoder.encode(batch)
            vectors = np.empty((len(batch), self._entities.width), np.float32)
            for start, block in enumerate(batch.blocks(ENCODED_ROWS)):
                vectors[start * ENCODED_ROWS :][: len(block)] = encoder.encode(block)["vectors"]
            return {"vectors": vectors}
        if graph is None:
            graph = self._runtime.encoder_graph(self.bundle)
        chunk = entity_chunk(batch.token_count, self.backend.device)
        widths = {name: array.shape[1] for name, array in self._entities.encoded.items()}
        return encode_in_chunks(self.run_graph, graph, batch, chunk, widths)

    def encode_again(self, entities: EntityBatch) -> None:
        """Encode the bundle's own entities from other inputs and answer from these, in memory; to measure what the
        modalities are worth. Entities that were added are let go.

        Args:
            entities: inputs of every entity of the bundle, in its order, as the family's `entity_batch` gives them.

        Raises:
            QueryError: of another number of entities.
        """
        labels = self.bundle.entities
        if len(entities) != len(labels):
            raise QueryError(f"inputs of {len(entities):,} entities; expected those of all {len(labels):,}.")
        with self._lock:
            self._entities = EntityTable.of(labels, self.encode_batch(entities), self._score, self.backend)

    def add_entities(self, labels: Sequence[str], **modalities: Any) -> NDArray[np.int64]:
        """Encode new entities and make them candidates of this model, in memory; `save` writes them to a bundle.

        Arguments after `labels` are those of `encode_entities`.

        Returns:
            Their ids, int64 [n].

        Raises:
            QueryError: a label that is taken already or is none, unequal lengths, and what `encode_entities` raises.
        """
        batch = self.entity_batch(**modalities)
        # As many as go through the encoder in whole runs, so that no run is cut.
        run = entity_chunk(batch.token_count, self.backend.device)
        blocks = batch.blocks(max(run, ENCODED_ROWS // run * run))
        return self._add(labels, batch, (self.encode_batch(block) for block in blocks))

    def add_encoded(
        self, labels: Sequence[str], encoded: Mapping[str, NDArray[np.float32]], **modalities: Any
    ) -> NDArray[np.int64]:
        """Like `add_entities`, of entities that other processes encoded, from the same arguments by the same bundle.

        Args:
            encoded: all outputs of the encoder, float32 [n, ...] each. That they are those of the encoder is not looked
                at here; `save` encodes some again.

        Raises:
            QueryError: also for other outputs than the encoder's, or NaN.
        """
        batch = self.entity_batch(**modalities)
        expected = {name: (len(batch), *array.shape[1:]) for name, array in self._entities.encoded.items()}
        found = {name: array.shape for name, array in encoded.items()}
        if found != expected:
            raise QueryError(f"encoded are {found}; expected {expected}, the outputs of the encoder.")
        for name, array in encoded.items():
            if array.dtype != np.float32 or not np.isfinite(array).all():
                raise QueryError(f"{name} is {array.dtype}, or has NaN or infinity; expected finite float32.")
        return self._add(labels, batch, [encoded])

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a bundle that knows the entities that were added here, too, and prove that it answers as this model.

        It needs no torch. Entities that are added while it writes are left out.

        Args:
            path: the bundle's folder; it appears whole or not at all.
            overwrite: replace a bundle that stands there, this model's own included.

        Raises:
            ExportError: target taken, disk full, a table of 2 GiB or more, or the new bundle answers otherwise; then
                nothing is written.
        """
        from .saving import save_model

        save_model(self, self._entities, Path(path), overwrite=overwrite)

    def explain_entity(self, entity: str | int) -> EntityExplanation:
        """How much structure, image, text and further modalities count in the encoded entity, and each of its tokens.

        AdaMF-MAT: the weights of its fusion. MyGO: the attention of the pooled position, over tokens.

        Raises:
            QueryError: unknown entity; MyGO: a sharded bundle; MKGformer: always.
        """
        entities = self._entities
        (row,) = to_ids(entity, entities.labels).tolist()

        def encoded(name: str) -> NDArray[np.float32]:
            found: NDArray[np.float32] = entities.rows(np.array([row]), name)[0]
            return found

        def inputs(name: str) -> NDArray[Any]:
            if row < entities.base:
                own: NDArray[Any] = self.bundle.inputs[name][row]
                return own
            added = entities.input_of(row, name)
            return self.bundle.mean_structure[0] if added is None else added

        return self._runtime.explained(self.bundle, EntityRow(entities.labels[row], encoded, inputs))

    def explain_tail(self, head: str | int, relation: str | int) -> QueryExplanation:
        """By which weights the query (head, relation, ?) takes from each place of the head's images: MKGformer.

        Raises:
            QueryError: an unknown label; another family, whose queries look at no image.
        """
        return self._explained(head, relation, TAIL)

    def explain_head(self, relation: str | int, tail: str | int) -> QueryExplanation:
        """The same of (?, relation, tail) and the tail's images."""
        return self._explained(tail, relation, HEAD)

    def close(self) -> None:
        """Free the backend. Later calls raise BackendError."""
        super().close()
        # What is left are the graphs, and their backend is closed.
        self._stand_ins, self._one_call = LinkStandIns(), OneCall(None)
        entities = self._entities
        if entities.ranking.on_device:  # the table there; a call that runs keeps it to its end
            self._entities = replace(entities, ranking=plain_ranking(entities.table, self._score))

    def __reduce__(self) -> tuple[Any, ...]:
        # Beside what every opened bundle sends to another process: the entities that were added here.
        entities = self._entities
        _, arguments = super().__reduce__()
        rows = np.arange(entities.base, len(entities))
        added = {name: entities.rows(rows, name) for name in entities.encoded}
        return _load_grown, (*arguments[1:], entities.labels[entities.base :], added, entities.inputs.parts(len(rows)))

    def _explained(self, entity: str | int, relation: str | int, direction: int) -> QueryExplanation:
        (asked,), (related,) = to_ids(entity, self.entities), to_ids(relation, self.relations)
        queries = Queries(np.array([asked]), np.array([related]), np.array([direction]))
        return self._runtime.explained_query(self.bundle, queries)

    def _sizes(self) -> str:
        return f"{len(self.entities):,} entities, {len(self.relations):,} relations, width {self._entities.width}"

    def _add(
        self, labels: Sequence[str], batch: EntityBatch, encoded: Iterable[Mapping[str, NDArray[np.float32]]]
    ) -> NDArray[np.int64]:
        """The ids of entities that are added with what the encoder gave for them."""
        labels = [labels] if isinstance(labels, str) else list(labels)
        if len(labels) != len(batch):
            raise QueryError(f"{len(labels)} labels and inputs of {len(batch)} entities; expected equally many.")
        with self._lock:
            before = self._entities
            check_new_labels(labels, before.labels)
            self._grow(labels, encoded, [batch.own()])
        return np.arange(len(before.labels), len(before.labels) + len(labels))

    def _grow(
        self,
        labels: Sequence[str],
        encoded: Iterable[Mapping[str, NDArray[np.float32]]],
        inputs: Sequence[dict[str, NDArray[Any]]],
    ) -> None:
        try:
            self._entities = self._entities.grown(labels, encoded, inputs, self._score, self.backend)
        except DataError as err:
            raise QueryError(str(err)) from err

    def _needs_first_graph(self) -> bool:
        return self._stand_ins.query is None

    def _in_steps(
        self,
        entities: EntityTable,
        queries: Queries,
        k: int,
        known: KnownTriples | None,
        candidates: NDArray[np.int64] | None,
    ) -> TopK:
        """Known answers, query vectors and ranking one after the other."""
        parts = []
        for start in range(0, len(queries), QUERY_CHUNK):
            chunk = queries[start : start + QUERY_CHUNK]
            excluded = None if known is None else known.answers_of(chunk)
            parts.append(self._best(entities, chunk, k, excluded, candidates))
        return joined(parts)

    def _best(
        self,
        entities: EntityTable,
        queries: Queries,
        k: int,
        excluded: AnswerLists | None,
        candidates: NDArray[np.int64] | None,
    ) -> TopK:
        if not entities.ranking.on_device:
            return entities.ranking.top_k(self.query_vectors(queries), k, excluded, candidates)
        found = self._captured(entities, queries, k, excluded) if candidates is None else None
        if found is None:
            vectors = self._placed_vectors(entities, queries)
            found = entities.ranking.top_k(vectors, k, excluded, candidates, self.backend.stream())
        count = len(entities) if candidates is None else len(candidates)
        left = candidates_left(count, len(queries), excluded, candidates)
        # The scores tell of the vectors: with NaN in one the ranking fails, with infinity no score of it is finite, and
        # those of -infinity are left out.
        if not np.isfinite(found.scores).all() or (np.diff(found.offsets) < np.minimum(k, left)).any():
            raise self._not_finite("query_encoder")
        return found

    def _captured(self, entities: EntityTable, queries: Queries, k: int, excluded: AnswerLists | None) -> TopK | None:
        """What one CUDA graph answers; None where there is none for such queries, or no kernels make their vectors."""
        ranking, stand_in = entities.ranking, self._stand_ins.query
        maker = None if stand_in is None else stand_in.on_gpu()
        if maker is None or not isinstance(ranking, GpuRanking):
            return None
        return ranking.captured_top_k(maker, queries, k, excluded)

    def _placed_vectors(self, entities: EntityTable, queries: Queries) -> DeviceArray:
        if stand_in := self._stand_ins.query:
            placed = stand_in.placed_query_vectors(*entities.nearest(queries), self.backend.stream())
            if placed is not None:
                return placed
            return self.backend.place(stand_in.query_vectors(*entities.nearest(queries)))
        table, queries = entities.asked(queries)
        batches = list(self._runtime.query_batches(self.bundle, table, queries))
        runs = [(rows, self.run_placed("query_encoder", inputs, ["queries"])["queries"]) for rows, inputs in batches]
        if len(runs) == 1 and isinstance(runs[0][0], slice):
            return runs[0][1]
        # Of several runs, those of texts of other lengths or of very many queries, the rows are put together here.
        joined = np.empty((len(queries), entities.width), np.float32)
        for rows, found in runs:
            joined[rows] = found.numpy()
        return self.backend.place(joined)

    def _runs_on(self) -> str:
        runs = super()._runs_on()
        return runs if self.backend.device == "cpu" else f"{runs}, ranked by {self._entities.ranking.name}"


def _load_grown(
    path: Path,
    backend: str,
    device: str,
    threads: int | None,
    follow_links: bool,
    labels: tuple[str, ...],
    encoded: dict[str, NDArray[np.float32]],
    inputs: Sequence[dict[str, NDArray[Any]]],
) -> Model:
    """What unpickling a model does: open the bundle again and put back the entities that were added."""
    model: Model = reopened(Model, path, backend, device, threads, follow_links)
    if labels:
        model._grow(labels, [encoded], inputs)
    return model
