"""GrowingModel: the encoded entities of a Model, to which more are added while it is open; `save` writes them.

One new entity, from its images and texts to a row: `entity_batch` (the family's runtime.py) -> `encode_batch` (the
family's stand-in, or an encoder graph on a backend) -> the table (entity_table.py), which grows and is replaced as one.
"""

from __future__ import annotations

import inspect
import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..backends.tables import plain_ranking
from ..bundle import Bundle
from ..errors import DataError, QueryError
from ..families import contract
from ..families.entity_batch import EntityBatch
from ..families.explained import EntityExplanation
from ..families.runtimes import EntityRow, LinkStandIns
from ..files.labels import Labels
from ..ranking.known_triples import Queries
from .encoding import encode_in_chunks
from .entity_table import EntityTable, entity_chunk
from .ids import Names, check_new_labels, to_ids
from .opened import Opened, reopened

# Entities that are encoded at a time by kernels, and put in their place: 16 MiB of vectors of 256 numbers.
ENCODED_ROWS = 1 << 14


class GrowingModel(Opened):
    """What a Model (link_prediction.py) knows of entities. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        self._runtime = contract.link_runtime(bundle.family)
        self._stand_ins = LinkStandIns()
        if compiled:
            self._stand_ins = self._runtime.stand_ins(bundle, backend.device, backend.threads)
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

    def entity_vectors(self, entities: Names) -> NDArray[np.float32]:
        """The encoded entities, float32 [n, width]."""
        known = self._entities
        return known.rows(to_ids(entities, known.labels))

    @abstractmethod
    def query_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """See Model. `save` proves by it that a saved bundle answers the same."""

    @abstractmethod
    def score_queries(self, queries: Queries) -> NDArray[np.float32]:
        """See Model, and `query_vectors`."""

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

    def close(self) -> None:
        """Free the backend. Later calls raise BackendError."""
        super().close()
        # What is left are the graphs, and their backend is closed.
        self._stand_ins = LinkStandIns()
        entities = self._entities
        if entities.ranking.on_device:  # the table there; a call that runs keeps it to its end
            self._entities = replace(entities, ranking=plain_ranking(entities.table, self._score))

    def __reduce__(self) -> tuple[Any, ...]:
        # Beside what every opened bundle sends to another process: the entities that were added here.
        entities = self._entities
        _, arguments = super().__reduce__()
        rows = np.arange(entities.base, len(entities))
        added = {name: entities.rows(rows, name) for name in entities.encoded}
        inputs = entities.inputs.parts(len(rows))
        return _load_grown, (*arguments, entities.labels[entities.base :], added, inputs)

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


def _load_grown(
    kind: type[GrowingModel],
    path: Path,
    backend: str,
    device: str,
    threads: int | None,
    follow_links: bool,
    labels: tuple[str, ...],
    encoded: dict[str, NDArray[np.float32]],
    inputs: Sequence[dict[str, NDArray[Any]]],
) -> GrowingModel:
    """What unpickling a model does: open the bundle again and put back the entities that were added."""
    model: GrowingModel = reopened(kind, path, backend, device, threads, follow_links)
    if labels:
        model._grow(labels, [encoded], inputs)
    return model
