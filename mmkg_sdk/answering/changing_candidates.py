"""ChangingLinker: the candidates of a Linker, which come and go while it is open; `save` writes those that there are.

One new entity, from its text and image to a row: it is encoded as a mention is (mention_encoder.py), on the side of
entities -> the table (candidate_table.py), which grows and is replaced as one.
"""

from __future__ import annotations

import threading
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..bundle import Bundle
from ..data.mentions import Mention
from ..errors import DataError, QueryError
from ..files.labels import Labels
from .candidate_table import CandidateTable, Segment
from .ids import Names, check_new_labels, to_ids
from .mention_checks import checked_entities
from .mention_encoder import ENCODED, MentionEncoder, Pieces
from .opened import reopened


class ChangingLinker(MentionEncoder):
    """What a Linker (entity_linking.py) knows of entities. Safe to call from several threads."""

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        super().__init__(bundle, backend, compiled=compiled)
        self._entities = CandidateTable(bundle.entities, len(bundle.entities), (self._open_segment(),))
        self._lock = threading.Lock()

    @abstractmethod
    def _open_segment(self) -> Segment:
        """The bundle's own rows, with what scores them."""

    @property
    def has_stand_ins(self) -> bool:
        """See Opened."""
        return self._entities.stand_in is not None

    @property
    def entities(self) -> Labels:
        """Labels of all candidates, those that were added last at the end."""
        return self._entities.labels

    @abstractmethod
    def score_pieces(self, pieces: Mapping[str, NDArray[np.float32]], candidates: Names | None = None) -> Pieces:
        """See Linker. `save` proves by it that a saved bundle answers the same."""

    @abstractmethod
    def unit_scores(
        self,
        entities: CandidateTable,
        pieces: Mapping[str, NDArray[np.float32]],
        chosen: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See Linker, and `score_pieces`."""

    def add_entities(
        self,
        labels: str | Sequence[str],
        *,
        texts: Sequence[str | None] | None = None,
        images: Sequence[Any] | None = None,
        names: Sequence[str] | None = None,
    ) -> NDArray[np.int64]:
        """Encode new entities and make them candidates of this linker, in memory; `save` writes them to a bundle.

        Args:
            labels: of the new entities.
            texts: what is written about each, None where nothing is; None: of none.
            images: one each, or None: a path, the bytes of a file, uint8 [height, width, 3], or an image of Pillow, of
                three channels as for mentions; None: of none.
            names: how texts call each; None: by its label.

        Returns:
            Their ids, int64 [n], which stay until an entity before them is removed.

        Raises:
            QueryError: a label that is taken already or is none, unequal lengths, what is no text or image, an image
                that cannot be read; a bundle that has no tokenizer.
        """
        labels = [labels] if isinstance(labels, str) else list(labels)
        with self._lock:
            before = self._entities
            check_new_labels(labels, before.labels)
            asked = checked_entities(labels, names, texts, images)
            try:
                self._entities = before.grown(labels, self._entity_pieces(asked))
            except DataError as err:
                raise QueryError(str(err)) from err
        return np.arange(len(before), len(before) + len(labels))

    def remove_entities(self, entities: Names) -> None:
        """Make entities no candidates any more, in memory; ids of those behind them become smaller.

        It takes time with the number of all entities: remove many at once.

        Raises:
            QueryError: an unknown entity, or all that there are.
        """
        with self._lock:
            before = self._entities
            gone = np.unique(to_ids(entities, before.labels))
            if len(gone) == len(before):
                raise QueryError(f"all {len(before):,} entities were to be removed; a linker needs one at least.")
            self._entities = before.without(gone)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a bundle of the candidates that there are now, and prove that it answers as this linker.

        Args:
            path: the bundle's folder; it appears whole or not at all.
            overwrite: replace a bundle that stands there, this linker's own included.

        Raises:
            ExportError: target taken, disk full, or the new bundle answers otherwise; then nothing is written.
        """
        from .linker_saving import save_linker

        save_linker(self, self._entities, Path(path), overwrite=overwrite)

    def close(self) -> None:
        """Free the backend, and what it was given of the entities. Later calls raise BackendError."""
        super().close()
        self._entities = self._entities.closed()  # what is left are the graphs, and their backend is closed

    def __reduce__(self) -> tuple[Any, ...]:
        # Beside what every opened bundle sends to another process: what came and went here.
        _, arguments = super().__reduce__()
        entities = self._entities
        return _load_changed, (*arguments, *entities.changes())

    def _entity_pieces(self, entities: Sequence[Mention]) -> Iterator[Pieces]:
        """What the bundle would keep of some entities, in blocks, in the dtype that it has."""
        dtype = next(iter(self.bundle.encoded.values())).dtype
        cut = 0
        for start in range(0, len(entities), ENCODED):
            part = entities[start : start + ENCODED]
            ids, mask, is_cut = self._runtime.read_texts(self._config, self._tokenizer, part)
            pixels = self._runtime.read_images(self._config, part, kind="entity")
            cut += int(is_cut.sum())
            found = self._encode(self.run_graph, ids, mask, pixels, "entity_side")
            with np.errstate(over="ignore"):  # beyond half precision is infinity, which is refused
                pieces = {name: found[name].astype(dtype) for name in self.bundle.encoded}
            if not all(np.isfinite(piece).all() for piece in pieces.values()):
                raise self._not_finite("entity_side")
            yield pieces
        if cut:
            warnings.warn(
                f"{cut:,} of {len(entities):,} new entities have more text than the {self._config.text_length} tokens "
                "that the model reads; what is behind is not read.",
                stacklevel=5,
            )

    def _sizes(self) -> str:
        return f"{len(self.entities):,} entities"


def _load_changed(
    kind: type[ChangingLinker],
    path: Path,
    backend: str,
    device: str,
    threads: int | None,
    follow_links: bool,
    removed: NDArray[np.int64],
    labels: tuple[str, ...],
    pieces: Pieces,
) -> ChangingLinker:
    """What unpickling a linker does: open the bundle again, and let the same come and go."""
    linker: ChangingLinker = reopened(kind, path, backend, device, threads, follow_links)
    linker._entities = linker._entities.without(removed).grown(labels, [pieces])
    return linker
