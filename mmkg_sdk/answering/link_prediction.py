"""Model: labels in, ranked labels out.

One query, from label to answer: `to_ids` (ids.py) -> query vector (the family's stand-in, or the query graph on a
backend) -> `top_k` over the entity table (backends/tables.py) -> `Predictions` (predictions.py).

On a GPU that ranks, table and weights lie there; ids and the rows of the entities that are asked about go in, and ids
and scores, k a query, come back. Query vectors stay. Where kernels make them, all of it is one CUDA graph
(backends/captured.py), and separate launches where there is no graph for what is asked; the answer is the same.

What a model knows of entities, and how more are encoded, added and saved, is growing.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, DeviceArray
from ..backends.streams import thread_stream
from ..backends.tables import GpuRanking, pair_scores
from ..bundle import Bundle
from ..families.explained import QueryExplanation
from ..families.query_batches import QUERY_CHUNK
from ..ranking.exact import RankingProtocol, Ranks, TopK, check_scores
from ..ranking.known_triples import HEAD, TAIL, AnswerLists, KnownTriples, Queries
from ..registry import LINK_PREDICTION
from .answers.predictions import Predictions
from .candidates import Candidates
from .entity_table import EntityTable, candidates_left, joined, no_answers
from .growing import GrowingModel
from .ids import Names, aligned_ids, checked_k, to_ids
from .one_call import OneCall


class Model(GrowingModel):
    """A bundle, opened on one backend. Safe to call from several threads.

    Scores: higher is better; they are comparable within one query only, and have no natural threshold.

    Entities and relations are given as labels or ids, one or many; two lists are paired, and a single value is
    paired with every one of the other list.
    """

    task = LINK_PREDICTION

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        super().__init__(bundle, backend, compiled=compiled)
        self._one_call = OneCall(self._stand_ins.query)

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
        self._one_call = OneCall(None)

    def _explained(self, entity: str | int, relation: str | int, direction: int) -> QueryExplanation:
        (asked,), (related,) = to_ids(entity, self.entities), to_ids(relation, self.relations)
        queries = Queries(np.array([asked]), np.array([related]), np.array([direction]))
        return self._runtime.explained_query(self.bundle, queries)

    def _sizes(self) -> str:
        return f"{len(self.entities):,} entities, {len(self.relations):,} relations, width {self._entities.width}"

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
