"""Linker: mentions in, ranked entities out.

One mention, from text to answer: tokens and pixels (the family's runtime.py) -> its pieces (mention_encoder.py) ->
scores with the pieces of every entity (the family's stand-in, or the interaction graph a block at a time) -> `Links`
(links.py).

How candidates come and go, and are saved, is changing_candidates.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, DeviceArray
from ..backends.base import parse_device
from ..bundle import Bundle
from ..data.mentions import Mention
from ..families.runtimes import InteractionStandIn
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, check_scores, filtered_ranks
from ..ranking.known_triples import AnswerLists
from ..registry import ENTITY_LINKING
from .answers.link_explanation import LinkExplanation
from .answers.links import Link, Links
from .candidate_table import CandidateTable, Segment
from .changing_candidates import ChangingLinker
from .ids import Names, checked_k, skips_unreadable, to_ids
from .mention_checks import checked_mentions, checked_targets
from .mention_encoder import ENCODED, Pieces
from .placed_pieces import PlacedPieces

if TYPE_CHECKING:
    from ..data.mentions import LabelledMention, LinkingData

__all__ = ["Linker", "Links", "Mention", "show_answers"]

# Of the mentions encoded at a time, scored at a time: each block of entities is read once for all of them. On a GPU
# their pieces stay where they were encoded, all together.
_SCORED = {"cpu": 16, "cuda": ENCODED}
# Pairs per run of the interaction graph. On a processor their attention weights (6.4 KB each at 40 tokens) should stay
# in its cache; see `Interaction` in families/mimic/pairs.py. The number for a GPU, 0.8 GB with their logits, is an
# estimate that no GPU has seen.
PAIRS = {"cpu": 512, "cuda": 1 << 16}
_CANDIDATES = 2048  # the most that the graph's signature names


class Linker(ChangingLinker):
    """An entity linking bundle, opened on one backend. Safe to call from several threads.

    Scores: higher is better; they are comparable within one mention only, and have no natural threshold.

    What the bundle knows of its entities stays on the disk as a memory map, in half precision unless the bundle is of
    fp32, and is scored in blocks; sums are float32. Memory therefore does not grow with the number of candidates, apart
    from a block of scores. A GPU, by its graphs, is given all of it with the first mention, and keeps it.
    """

    task = ENTITY_LINKING

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        self._kind = parse_device(backend.device)[0]
        super().__init__(bundle, backend, compiled=compiled)

    def _open_segment(self) -> Segment:
        encoded = self.bundle.encoded
        placed = PlacedPieces(self.backend, encoded, PAIRS[self._kind] // _SCORED[self._kind])
        return Segment(encoded, self._open_stand_in(), placed)

    def _open_stand_in(self) -> InteractionStandIn | None:
        bundle, backend = self.bundle, self.backend
        return self._runtime.stand_in(bundle, backend.device, backend.threads) if self.compiled else None

    @property
    def _ranks_there(self) -> bool:
        """Whether ranks are counted where scores are made, which stay there."""
        return self.has_stand_ins and self._kind != "cpu"

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
        for start in range(0, len(asked), ENCODED):
            part, right = asked[start : start + ENCODED], targets[start : start + ENCODED]
            if self._ranks_there:
                ranks = entities.ranks(self.encode_mentions(part, skip_unreadable=skip), right)
                if ranks is not None:
                    found.append(ranks)
                    continue
            found.append(_ranks(self._scores(entities, part, None, skip_unreadable=skip), right))
        return np.concatenate(found)

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
        for start in range(0, len(mentions), ENCODED):
            part = mentions[start : start + ENCODED]
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
