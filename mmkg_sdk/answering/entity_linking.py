"""Linker: mentions in, ranked entities out.

One mention, from text to answer: tokens and pixels (the family's runtime.py) -> its pieces (the encoder graphs) ->
scores with the pieces of every entity (the family's stand-in, or the interaction graph a block at a time) -> `Links`
(links.py).
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray, Backend, DeviceArray
from ..backends.base import parse_device
from ..bundle import Bundle
from ..data.mentions import Mention
from ..errors import DataError, QueryError
from ..families import contract
from ..families.runtimes import InteractionStandIn
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, check_scores, filtered_ranks
from ..ranking.known_triples import AnswerLists
from ..registry import ENTITY_LINKING
from .answers.link_explanation import LinkExplanation
from .answers.links import Link, Links
from .candidate_table import CandidateTable, Segment
from .ids import Names, check_new_labels, checked_k, skips_unreadable, to_ids
from .mention_checks import checked_entities, checked_mentions, checked_targets, checked_tokens
from .opened import Opened, reopened
from .placed_pieces import PlacedPieces

if TYPE_CHECKING:
    from ..data.mentions import LabelledMention, LinkingData
    from ..modalities.text import ClipTexts

__all__ = ["Linker", "Links", "Mention", "show_answers"]

# Mentions encoded at a time, and of these scored at a time: each block of entities is read once for all of them. On a
# GPU their pieces stay where they were encoded, all together.
_ENCODED = 64
_SCORED = {"cpu": 16, "cuda": _ENCODED}
# Pairs per run of the interaction graph. On a processor their attention weights (6.4 KB each at 40 tokens) should stay
# in its cache; see `Interaction` in families/mimic/pairs.py. The number for a GPU, 0.8 GB with their logits, is an
# estimate that no GPU has seen.
PAIRS = {"cpu": 512, "cuda": 1 << 16}
_CANDIDATES = 2048  # the most that the graph's signature names

Pieces = dict[str, NDArray[Any]]
Array = TypeVar("Array", NDArray[Any], DeviceArray)


class Linker(Opened):
    """An entity linking bundle, opened on one backend. Safe to call from several threads.

    Scores: higher is better; they are comparable within one mention only, and have no natural threshold.

    What the bundle knows of its entities stays on the disk as a memory map, in half precision unless the bundle is of
    fp32, and is scored in blocks; sums are float32. Memory therefore does not grow with the number of candidates, apart
    from a block of scores. A GPU, by its graphs, is given all of it with the first mention, and keeps it.
    """

    task = ENTITY_LINKING

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        super().__init__(bundle, backend, compiled=compiled)
        self._runtime = contract.linking_runtime(bundle.family)
        self._config = contract.linking_config(bundle.config)
        self._kind = parse_device(backend.device)[0]
        placed = PlacedPieces(backend, bundle.encoded, PAIRS[self._kind] // _SCORED[self._kind])
        own = Segment(bundle.encoded, self._open_stand_in(), placed)
        self._entities = CandidateTable(bundle.entities, len(bundle.entities), (own,))
        self._lock = threading.Lock()

    def _open_stand_in(self) -> InteractionStandIn | None:
        bundle, backend = self.bundle, self.backend
        return self._runtime.stand_in(bundle, backend.device, backend.threads) if self.compiled else None

    @property
    def has_stand_ins(self) -> bool:
        """See Opened."""
        return self._entities.stand_in is not None

    @property
    def _ranks_there(self) -> bool:
        """Whether ranks are counted where scores are made, which stay there."""
        return self.has_stand_ins and self._kind != "cpu"

    @property
    def entities(self) -> Labels:
        """Labels of all candidates, those that were added last at the end."""
        return self._entities.labels

    def link_mentions(
        self,
        mentions: Mention | Sequence[Mention],
        k: int = 5,
        *,
        candidates: Names | None = None,
        explain: bool = False,
    ) -> Links:
        """The k entities that each mention most likely means.

        Args:
            mentions: one or several.
            k: answers per mention, 1 to 3,840; cut to the number of candidates. Equal scores by ascending id.
            candidates: rank only these entities, for every mention; repeated ones count once. None = all.
            explain: also give what each unit of the model says (`Link.units`).

        Raises:
            QueryError: no text, an image that cannot be read, an unknown candidate, k out of range.
            BackendError: a graph failed or gave NaN.
        """
        k = checked_k(k)
        asked, entities = checked_mentions(mentions), self._entities
        chosen = _chosen(candidates, entities)
        count = len(entities) if chosen is None else len(chosen)
        links: list[Link] = []
        cut = self.read_texts(asked).cut.tolist()
        for block, units, ids in self._blocks(entities, asked, chosen, best=min(k, count)):
            for mention, scores in zip(block, units.transpose(1, 0, 2), strict=True):
                links.append(self._link(entities.labels, mention, scores, ids, k, explain, cut[len(links)]))
        return Links(links, min(k, count), self._runtime.UNITS if explain else ())

    def explain_link(self, mention: Mention, entity: str | int) -> LinkExplanation:
        """What the score of a mention with one entity is made of: units, parts, places of the mention's image.

        Raises:
            QueryError: no text, an image that cannot be read, an unknown entity.
        """
        (asked,) = checked_mentions(mention)
        entities = self._entities
        chosen = to_ids(entity, entities.labels)
        (row,) = chosen.tolist()
        input_ids, attention_mask, pixels = self._read([asked], skip_unreadable=False)
        pieces = self.encode_tokens(input_ids, attention_mask, pixels)
        scored = self.unit_scores(entities, pieces, chosen)
        units = {name: float(scores[0, 0]) for name, scores in zip(self._runtime.UNITS, scored, strict=True)}
        tokens = None
        if pixels.any():
            tokens = self.run_graph("image_encoder", {"pixel_values": pixels}, ["image_tokens"])["image_tokens"][0]
        one = {name: piece[0] for name, piece in pieces.items()}
        found = self._runtime.explained_pair(self.bundle, one, entities.pieces_of(row), tokens)
        score = float(mean_of_units(np.array(list(units.values()), np.float32)))
        return LinkExplanation(asked, entities.labels[row], score, units, found.parts, found.places)

    def score_mentions(
        self, mentions: Mention | Sequence[Mention], *, candidates: Names | None = None, unreadable: str = "error"
    ) -> NDArray[np.float32]:
        """Scores of every candidate, float32 [mentions, candidates].

        Args:
            candidates: as for `link_mentions`; columns are their ids in ascending order.
            unreadable: "error", or "none" to take an image that cannot be read for none, with a warning.
        """
        skip, asked, entities = skips_unreadable(unreadable), checked_mentions(mentions), self._entities
        return self._scores(entities, asked, _chosen(candidates, entities), skip_unreadable=skip)

    def rank_mentions(
        self, mentions: Mention | Sequence[Mention], targets: NDArray[np.int64], *, unreadable: str = "error"
    ) -> NDArray[np.int64]:
        """Where one entity stands among all for each mention, int64 [mentions] from 1; equal scores by ascending id.

        On a GPU, by its kernels, the ranks are counted there and come back alone.

        Args:
            targets: int64 [mentions], ids of entities.
            unreadable: as for `score_mentions`.

        Raises:
            QueryError: as of `link_mentions`; or a target that there is not.
        """
        skip, asked, entities = skips_unreadable(unreadable), checked_mentions(mentions), self._entities
        targets = checked_targets(targets, len(asked), len(entities))
        found = [np.empty(0, np.int64)]
        for start in range(0, len(asked), _ENCODED):
            part, right = asked[start : start + _ENCODED], targets[start : start + _ENCODED]
            if self._ranks_there:
                ranks = entities.ranks(self.encode_mentions(part, skip_unreadable=skip), right)
                if ranks is not None:
                    found.append(ranks)
                    continue
            found.append(_ranks(self._scores(entities, part, None, skip_unreadable=skip), right))
        return np.concatenate(found)

    def read_texts(self, mentions: Mention | Sequence[Mention]) -> ClipTexts:
        """The tokens of each mention with its sentence, and which of them go on behind what the model reads."""
        return self._runtime.read_texts(self._config, self._tokenizer, checked_mentions(mentions))

    def encode_mentions(self, mentions: Mention | Sequence[Mention], *, skip_unreadable: bool = False) -> Pieces:
        """What the units need of each mention, by name: float32 [mentions, ...]; for `score_pieces`."""
        asked = checked_mentions(mentions)
        starts = range(0, len(asked), _ENCODED)
        parts = (self._read(asked[start : start + _ENCODED], skip_unreadable=skip_unreadable) for start in starts)
        return _joined([self.encode_tokens(*tokens) for tokens in parts])

    def encode_tokens(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64], pixel_values: NDArray[np.float32]
    ) -> Pieces:
        """Like `encode_mentions`, of token ids and pixels.

        Args:
            input_ids, attention_mask: int64 [n, text_length].
            pixel_values: float32 [n, 3, image_size, image_size], all zero where there is no image.

        Raises:
            QueryError: another shape, an id that the model does not have, NaN.
        """
        ids, mask, pixels = checked_tokens(self._config, input_ids, attention_mask, pixel_values)
        parts = []
        for start in range(0, len(pixels), _ENCODED):
            rows = slice(start, start + _ENCODED)
            parts.append(self._encode(self.run_graph, ids[rows], mask[rows], pixels[rows]))
        return _joined(parts)

    def score_pieces(self, pieces: Mapping[str, NDArray[np.float32]], candidates: Names | None = None) -> Pieces:
        """The scores of encoded mentions by unit, float32 [mentions, candidates] each; the model's is their mean."""
        entities = self._entities
        chosen = _chosen(candidates, entities)
        count, step = len(next(iter(pieces.values()), ())), _SCORED[self._kind]
        parts = [
            self.unit_scores(entities, {name: piece[start : start + step] for name, piece in pieces.items()}, chosen)
            for start in range(0, count, step)
        ]
        width = len(entities) if chosen is None else len(chosen)
        units = np.concatenate([np.empty((len(self._runtime.UNITS), 0, width), np.float32), *parts], axis=1)
        return dict(zip(self._runtime.UNITS, units, strict=True))

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

    def _entity_pieces(self, entities: Sequence[Mention]) -> Iterator[Pieces]:
        """What the bundle would keep of some entities, in blocks, in the dtype that it has."""
        dtype = next(iter(self.bundle.encoded.values())).dtype
        cut = 0
        for start in range(0, len(entities), _ENCODED):
            part = entities[start : start + _ENCODED]
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

    @cached_property
    def _tokenizer(self) -> Any:
        return self._runtime.open_tokenizer(self.bundle)

    @cached_property
    def _no_image(self) -> Pieces:
        """What the image encoder gives for an image of zeros, which stands for none."""
        size = self._config.image_size
        return self.run_graph("image_encoder", {"pixel_values": np.zeros((1, 3, size, size), np.float32)}, ())

    def _read(
        self, mentions: Sequence[Mention], *, skip_unreadable: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The arguments of `encode_tokens` for checked mentions."""
        input_ids, attention_mask, _ = self._runtime.read_texts(self._config, self._tokenizer, mentions)
        pixels = self._runtime.read_images(self._config, mentions, skip_unreadable=skip_unreadable)
        return input_ids, attention_mask, pixels

    def _encode(
        self,
        run: Callable[[str, Mapping[str, AnyArray], tuple[str, ...]], dict[str, Array]],
        input_ids: NDArray[np.int64],
        attention_mask: NDArray[np.int64],
        pixels: NDArray[np.float32],
        side: str = "mention_side",
    ) -> dict[str, Array]:
        """The pieces of at most _ENCODED mentions, where `run` (`run_graph` or `run_placed`) leaves them.

        Args:
            side: or "entity_side".
        """
        texts = run("text_encoder", {"input_ids": input_ids, "attention_mask": attention_mask}, ())
        shown = pixels.reshape(len(pixels), -1).any(axis=1)
        images: Mapping[str, AnyArray]
        if shown.all():
            images = run("image_encoder", {"pixel_values": pixels}, ())
        else:  # one set for all without an image; put together on the host
            merged = {name: np.repeat(array, len(pixels), axis=0) for name, array in self._no_image.items()}
            if shown.any():
                for name, array in self.run_graph("image_encoder", {"pixel_values": pixels[shown]}, ()).items():
                    merged[name][shown] = array
            images = merged
        return run(side, {**texts, **images}, ())

    def _scores(
        self,
        entities: CandidateTable,
        mentions: Sequence[Mention],
        chosen: NDArray[np.int64] | None,
        *,
        skip_unreadable: bool,
    ) -> NDArray[np.float32]:
        """float32 [mentions, candidates]."""
        blocks = self._blocks(entities, mentions, chosen, skip_unreadable=skip_unreadable)
        found = [mean_of_units(units) for _, units, _ in blocks]
        count = len(entities) if chosen is None else len(chosen)
        return np.concatenate([np.empty((0, count), np.float32), *found])

    def _blocks(
        self,
        entities: CandidateTable,
        mentions: Sequence[Mention],
        chosen: NDArray[np.int64] | None,
        *,
        skip_unreadable: bool = False,
        best: int | None = None,
    ) -> Iterator[tuple[Sequence[Mention], NDArray[np.float32], NDArray[np.int64] | None]]:
        """Some mentions, their scores by unit, float32 [units, mentions, candidates], and the candidates (None: all).

        Args:
            best: so many of each mention must be among the candidates, and others need not: what was ranked on a
                device stays there but for these.
        """
        for start in range(0, len(mentions), _ENCODED):
            part = mentions[start : start + _ENCODED]
            if self._kind != "cpu" and entities.stand_in is None:
                tokens = self._read(part, skip_unreadable=skip_unreadable)
                yield part, self._graph_scores(entities, self._encode(self.run_placed, *tokens), chosen), chosen
                continue
            pieces = self.encode_mentions(part, skip_unreadable=skip_unreadable)
            for first in range(0, len(part), _SCORED[self._kind]):
                rows = slice(first, first + _SCORED[self._kind])
                asked = {name: piece[rows] for name, piece in pieces.items()}
                yield part[rows], *self._scores_of_best(entities, asked, best, chosen)

    def _scores_of_best(
        self,
        entities: CandidateTable,
        pieces: Mapping[str, NDArray[np.float32]],
        best: int | None,
        chosen: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Scores by unit and candidates, without those that a device has ruled out for all of some mentions.

        A pair's scores are the same bits whoever else is scored, so what is left is ranked as all would be.
        """
        count = len(entities) if chosen is None else len(chosen)
        mentions = len(next(iter(pieces.values())))
        if entities.stand_in is not None and best is not None and mentions * best < count:
            found = entities.best(pieces, best, chosen)
            if found is not None:
                return found[1], found[0]
        return self.unit_scores(entities, pieces, chosen), chosen

    def unit_scores(
        self,
        entities: CandidateTable,
        pieces: Mapping[str, NDArray[np.float32]],
        chosen: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """The scores of a few encoded mentions with what is chosen of a table, float32 [units, mentions, chosen]."""
        if entities.stand_in is not None:
            return entities.scores(pieces, chosen)
        # Once for all blocks of entities.
        placed = {name: self.backend.place(piece) for name, piece in pieces.items()}
        return self._graph_scores(entities, placed, chosen)

    def _graph_scores(
        self, entities: CandidateTable, pieces: Mapping[str, DeviceArray], chosen: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """The scores of mentions by unit, float32 [units, mentions, candidates], from pieces on the device."""
        mentions = next(iter(pieces.values())).shape[0]
        # What lies on a device is scored as it lies there, with the rows that were removed.
        placed = self._kind != "cpu" and chosen is None
        count = entities.count if placed else len(entities) if chosen is None else len(chosen)
        units = np.empty((len(self._runtime.UNITS), mentions, count), np.float32)
        start = 0
        # As many as go into a run with so many mentions.
        size = min(_CANDIDATES, max(1, PAIRS[self._kind] // mentions))
        for block in entities.placed_blocks() if placed else entities.blocks(chosen, size):
            outputs = self.run_graph(
                "interaction", {**pieces, **block}, [f"{unit}_scores" for unit in self._runtime.UNITS]
            )
            for row, unit in enumerate(self._runtime.UNITS):
                scores = outputs[f"{unit}_scores"]
                units[row, :, start : start + scores.shape[1]] = scores
            start += scores.shape[1]
        return units if not placed or entities.left is None else units[:, :, entities.left]

    def close(self) -> None:
        """Free the backend, and what it was given of the entities. Later calls raise BackendError."""
        super().close()
        self._entities = self._entities.closed()  # what is left are the graphs, and their backend is closed

    def __reduce__(self) -> tuple[Any, ...]:
        # Beside what every opened bundle sends to another process: what came and went here.
        _, arguments = super().__reduce__()
        entities = self._entities
        return _load_changed, (*arguments, *entities.changes())

    def _link(
        self,
        labels: Labels,
        mention: Mention,
        units: NDArray[np.float32],
        chosen: NDArray[np.int64] | None,
        k: int,
        explain: bool,
        cut: bool,
    ) -> Link:
        scores = mean_of_units(units)
        best = np.argsort(-scores, kind="stable")[:k]
        ids = best if chosen is None else chosen[best]
        said = {name: unit[best] for name, unit in zip(self._runtime.UNITS, units, strict=True)} if explain else None
        return Link(mention, ids, scores[best], tuple(labels.of_ids(ids.tolist())), said, cut)


def show_answers(linker: Linker, data: LinkingData, count: int = 8, k: int = 3) -> str:
    """A few test mentions whose text means several entities, with the k best answers and the right one marked."""
    meanings: dict[str, set[int]] = {}
    for mention in (*data.train, *data.valid, *data.test):
        meanings.setdefault(mention.text, set()).add(mention.entity)
    asked: dict[tuple[str, int], LabelledMention] = {}
    for mention in data.test:
        if len(meanings[mention.text]) > 1:
            asked.setdefault((mention.text, mention.entity), mention)
    tested = Counter(text for text, _ in asked)
    # Names of which several meanings are asked for come first.
    chosen = sorted(asked.values(), key=lambda one: (-tested[one.text], one.text))[:count]
    found = linker.link_mentions([Mention(one.text, one.sentence, one.image) for one in chosen], k)
    lines = []
    for link, one in zip(found, chosen, strict=True):
        image = " (with an image)" if one.image else ""
        lines.append(f"{one.text!r} in {one.sentence!r}{image}")
        for rank, (label, score) in enumerate(link, start=1):
            mark = "  <- the answer in the test split" if label == data.entities[one.entity] else ""
            lines.append(f"  {rank}. {label}  ({score:.2f}){mark}")
    return "\n".join(lines)


def mean_of_units(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """The model's score: the mean of the units along axis 0. NaN is refused."""
    scores: NDArray[np.float32] = units.mean(axis=0, dtype=np.float32)
    check_scores(np.atleast_2d(scores))
    return scores


def _chosen(candidates: Names | None, entities: CandidateTable) -> NDArray[np.int64] | None:
    """Ids in ascending order, each once; None = all."""
    return None if candidates is None else np.unique(to_ids(candidates, entities.labels))


def _ranks(scores: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    nothing = AnswerLists(np.zeros(len(targets) + 1, np.int64), np.empty(0, np.int64))
    return filtered_ranks(scores, targets, nothing, RankingProtocol("stable")).published.astype(np.int64)


def _load_changed(
    kind: type[Linker],
    path: Path,
    backend: str,
    device: str,
    threads: int | None,
    follow_links: bool,
    removed: NDArray[np.int64],
    labels: tuple[str, ...],
    pieces: Pieces,
) -> Linker:
    """What unpickling a linker does: open the bundle again, and let the same come and go."""
    linker: Linker = reopened(kind, path, backend, device, threads, follow_links)
    linker._entities = linker._entities.without(removed).grown(labels, [pieces])
    return linker


def _joined(parts: Sequence[Pieces]) -> Pieces:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
