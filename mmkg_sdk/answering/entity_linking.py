"""Linker: mentions in, ranked entities out.

One mention, from text to answer: tokens and pixels (the family's runtime.py) -> its pieces (the encoder graphs) ->
scores with the pieces of every entity (the family's stand-in, or the interaction graph a block at a time) -> `Links`
(links.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray, Backend, DeviceArray
from ..backends.base import parse_device
from ..bundle import Bundle
from ..data.mentions import Mention
from ..families import contract
from ..families.runtimes import InteractionStandIn
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, check_scores, filtered_ranks
from ..ranking.known_triples import AnswerLists
from ..registry import ENTITY_LINKING
from .answers.link_explanation import LinkExplanation
from .answers.links import Link, Links
from .ids import Names, checked_k, skips_unreadable, to_ids
from .mention_checks import checked_mentions, checked_targets, checked_tokens
from .opened import Opened
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

Pieces = dict[str, NDArray[np.float32]]
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
        self._stand_in = self._open_stand_in()
        self._kind = parse_device(backend.device)[0]
        self._entities = PlacedPieces(backend, bundle.encoded, PAIRS[self._kind] // _SCORED[self._kind])

    def _open_stand_in(self) -> InteractionStandIn | None:
        bundle, backend = self.bundle, self.backend
        return self._runtime.stand_in(bundle, backend.device, backend.threads) if self.compiled else None

    @property
    def has_stand_ins(self) -> bool:
        """See Opened."""
        return self._stand_in is not None

    @property
    def _ranks_there(self) -> bool:
        """Whether ranks are counted where scores are made, which stay there."""
        return self._stand_in is not None and self._kind != "cpu"

    @property
    def entities(self) -> Labels:
        """Labels of all candidates."""
        return self.bundle.entities

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
        asked = checked_mentions(mentions)
        chosen = self._chosen(candidates)
        count = len(self.entities) if chosen is None else len(chosen)
        links: list[Link] = []
        cut = self.read_texts(asked).cut.tolist()
        for block, units, ids in self._blocks(asked, chosen, best=min(k, count)):
            for mention, scores in zip(block, units.transpose(1, 0, 2), strict=True):
                links.append(self._link(mention, scores, ids, k, explain, cut[len(links)]))
        return Links(links, min(k, count), self._runtime.UNITS if explain else ())

    def explain_link(self, mention: Mention, entity: str | int) -> LinkExplanation:
        """What the score of a mention with one entity is made of: units, parts, places of the mention's image.

        Raises:
            QueryError: no text, an image that cannot be read, an unknown entity.
        """
        (asked,) = checked_mentions(mention)
        (row,) = to_ids(entity, self.entities).tolist()
        input_ids, attention_mask, pixels = self._read([asked], skip_unreadable=False)
        pieces = self.encode_tokens(input_ids, attention_mask, pixels)
        units = {name: float(scores[0, 0]) for name, scores in self.score_pieces(pieces, row).items()}
        tokens = None
        if pixels.any():
            tokens = self.run_graph("image_encoder", {"pixel_values": pixels}, ["image_tokens"])["image_tokens"][0]
        one = {name: piece[0] for name, piece in pieces.items()}
        found = self._runtime.explained_pair(
            self.bundle, one, {name: piece[row] for name, piece in self.bundle.encoded.items()}, tokens
        )
        score = float(mean_of_units(np.array(list(units.values()), np.float32)))
        return LinkExplanation(asked, self.entities[row], score, units, found.parts, found.places)

    def score_mentions(
        self, mentions: Mention | Sequence[Mention], *, candidates: Names | None = None, unreadable: str = "error"
    ) -> NDArray[np.float32]:
        """Scores of every candidate, float32 [mentions, candidates].

        Args:
            candidates: as for `link_mentions`; columns are their ids in ascending order.
            unreadable: "error", or "none" to take an image that cannot be read for none, with a warning.
        """
        skip = skips_unreadable(unreadable)
        asked, chosen = checked_mentions(mentions), self._chosen(candidates)
        count = len(self.entities) if chosen is None else len(chosen)
        found = [mean_of_units(units) for _, units, _ in self._blocks(asked, chosen, skip_unreadable=skip)]
        return np.concatenate([np.empty((0, count), np.float32), *found])

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
        skip, asked = skips_unreadable(unreadable), checked_mentions(mentions)
        targets = checked_targets(targets, len(asked), len(self.entities))
        found = [np.empty(0, np.int64)]
        for start in range(0, len(asked), _ENCODED):
            part, right = asked[start : start + _ENCODED], targets[start : start + _ENCODED]
            if self._stand_in is not None and self._ranks_there:
                ranks = self._stand_in.ranks(self.encode_mentions(part, skip_unreadable=skip), right)
                if ranks is not None:
                    found.append(ranks)
                    continue
            found.append(_ranks(self.score_mentions(part, unreadable=unreadable), right))
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
        chosen = self._chosen(candidates)
        count, step = len(next(iter(pieces.values()), ())), _SCORED[self._kind]
        parts = [
            self._unit_scores({name: piece[start : start + step] for name, piece in pieces.items()}, chosen)
            for start in range(0, count, step)
        ]
        width = len(self.entities) if chosen is None else len(chosen)
        units = np.concatenate([np.empty((len(self._runtime.UNITS), 0, width), np.float32), *parts], axis=1)
        return dict(zip(self._runtime.UNITS, units, strict=True))

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
    ) -> dict[str, Array]:
        """The pieces of at most _ENCODED mentions, where `run` (`run_graph` or `run_placed`) leaves them."""
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
        return run("mention_side", {**texts, **images}, ())

    def _chosen(self, candidates: Names | None) -> NDArray[np.int64] | None:
        """Ids in ascending order, each once; None = all."""
        return None if candidates is None else np.unique(to_ids(candidates, self.entities))

    def _blocks(
        self,
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
            if self._kind != "cpu" and self._stand_in is None:
                tokens = self._read(part, skip_unreadable=skip_unreadable)
                yield part, self._graph_scores(self._encode(self.run_placed, *tokens), chosen), chosen
                continue
            pieces = self.encode_mentions(part, skip_unreadable=skip_unreadable)
            for first in range(0, len(part), _SCORED[self._kind]):
                rows = slice(first, first + _SCORED[self._kind])
                asked = {name: piece[rows] for name, piece in pieces.items()}
                yield part[rows], *self._scores_of_best(asked, best, chosen)

    def _scores_of_best(
        self, pieces: Mapping[str, NDArray[np.float32]], best: int | None, chosen: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Scores by unit and candidates, without those that a device has ruled out for all of some mentions.

        A pair's scores are the same bits whoever else is scored, so what is left is ranked as all would be.
        """
        count = len(self.entities) if chosen is None else len(chosen)
        mentions = len(next(iter(pieces.values())))
        if self._stand_in is not None and best is not None and mentions * best < count:
            found = self._stand_in.best(pieces, best, chosen)
            if found is not None:
                return found[1], found[0]
        return self._unit_scores(pieces, chosen), chosen

    def _unit_scores(
        self, pieces: Mapping[str, NDArray[np.float32]], chosen: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        if stand_in := self._stand_in:
            return stand_in.scores(pieces, chosen)
        # Once for all blocks of entities.
        return self._graph_scores({name: self.backend.place(piece) for name, piece in pieces.items()}, chosen)

    def _graph_scores(self, pieces: Mapping[str, DeviceArray], chosen: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """The scores of mentions by unit, float32 [units, mentions, candidates], from pieces on the device."""
        mentions = next(iter(pieces.values())).shape[0]
        count = len(self.entities) if chosen is None else len(chosen)
        units = np.empty((len(self._runtime.UNITS), mentions, count), np.float32)
        start = 0
        for block in self._entity_blocks(chosen, mentions):
            outputs = self.run_graph(
                "interaction", {**pieces, **block}, [f"{unit}_scores" for unit in self._runtime.UNITS]
            )
            for row, unit in enumerate(self._runtime.UNITS):
                scores = outputs[f"{unit}_scores"]
                units[row, :, start : start + scores.shape[1]] = scores
            start += scores.shape[1]
        return units

    def _entity_blocks(self, chosen: NDArray[np.int64] | None, mentions: int) -> Iterator[Mapping[str, AnyArray]]:
        """The pieces of all candidates, some at a time: as many as go into a run with so many mentions."""
        if self._kind != "cpu" and chosen is None:
            yield from self._entities.blocks()
            return
        count = len(self.entities) if chosen is None else len(chosen)
        step = min(_CANDIDATES, max(1, PAIRS[self._kind] // mentions))
        for start in range(0, count, step):
            rows: Any = slice(start, start + step) if chosen is None else chosen[start : start + step]
            yield {name: array[rows] for name, array in self.bundle.encoded.items()}

    def close(self) -> None:
        """Free the backend, and what it was given of the entities. Later calls raise BackendError."""
        super().close()
        self._stand_in = None  # what is left are the graphs, and their backend is closed
        self._entities.free()

    def _link(
        self,
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
        return Link(mention, ids, scores[best], tuple(self.entities[i] for i in ids.tolist()), said, cut)


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


def _ranks(scores: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    nothing = AnswerLists(np.zeros(len(targets) + 1, np.int64), np.empty(0, np.int64))
    return filtered_ranks(scores, targets, nothing, RankingProtocol("stable")).published.astype(np.int64)


def _joined(parts: Sequence[Pieces]) -> Pieces:
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
