"""What runtime.py of a family owes: all that answering from a bundle asks of it, without torch. See contract.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # types alone, so that answering loads nothing more
    from pathlib import Path

    from PIL.Image import Image
    from tokenizers import Tokenizer

    from ..backends import DeviceArray
    from ..backends.captured import QueriesOnGpu
    from ..bundle import Bundle
    from ..bundle.contents import Contents
    from ..data.mentions import Mention
    from ..data.sentences import SentenceImages
    from ..kernels import QueryKernels
    from ..kernels.gpu.arguments import TableOnGpu
    from ..modalities.text import ClipTexts
    from ..modalities.words import Span
    from ..ranking.known_triples import Queries
    from .entity_batch import EntityBatch
    from .explained import EntityExplanation, PairExplanation, QueryExplanation

Arrays = dict[str, NDArray[Any]]
Rows = slice | NDArray[np.int64]


class Runtime(Protocol):
    """runtime.py."""

    def contents(self, config: Any) -> Contents:
        """What the bundle of a configuration holds."""
        ...

    def weight_shapes(self, config: Any) -> dict[str, tuple[int, ...]]:
        """The shapes of those weights that tell the sizes of a model; what they leave open, probes must tell."""
        ...

    def check_bundle(self, bundle: Bundle) -> None:
        """What shapes and dtypes do not tell. Raises BundleError."""
        ...


class QueryStandIn(Protocol):
    """What makes query vectors in place of the query graph."""

    def query_vectors(self, table: NDArray[np.float32] | TableOnGpu, queries: Queries) -> NDArray[np.float32]:
        """float32 [batch, width], finite."""
        ...

    def placed_query_vectors(
        self, table: NDArray[np.float32] | TableOnGpu, queries: Queries, stream: int
    ) -> DeviceArray | None:
        """The same on the GPU, in the order of a CUDA stream, not checked; None where it works on the CPU."""
        ...

    def on_gpu(self) -> QueriesOnGpu | None:
        """What makes them on a GPU, for a CUDA graph; None where it works on the CPU."""
        ...

    def on_cpu(self) -> QueryKernels | None:
        """What makes query vectors within an AnswerCall; None where it works on a GPU."""
        ...


class EncoderStandIn(Protocol):
    """What encodes entities in place of the encoder graph."""

    def encode(self, batch: EntityBatch) -> dict[str, NDArray[np.float32]]:
        """The graph's outputs by name."""
        ...

    def placed_vectors(self, inputs: Mapping[str, DeviceArray], stream: int) -> DeviceArray | None:
        """ "vectors" of inputs on the GPU, there and in the order of a CUDA stream; None where it works on the CPU.

        Nothing is checked: not the tokens, not what comes out.
        """
        ...


@dataclass(frozen=True)
class LinkStandIns:
    """What does the work of graphs; None = the graph does."""

    query: QueryStandIn | None = None
    encoder: EncoderStandIn | None = None


class InteractionStandIn(Protocol):
    """What scores pairs in place of the interaction graph, with the entities of a bundle or others."""

    def of(self, entities: Mapping[str, NDArray[Any]]) -> InteractionStandIn:
        """The same for other entities: their pieces by name, which it keeps as they are."""
        ...

    def scores(
        self, mentions: Mapping[str, NDArray[np.float32]], candidates: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """float32 [units, mentions, candidates]; None = all entities."""
        ...

    def best(
        self, mentions: Mapping[str, NDArray[np.float32]], k: int, candidates: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Some ids, ascending, among which are the k best candidates of every mention by the mean of the units.

        With the scores of every mention with each of them, float32 [units, mentions, ids], as `scores` gives them.

        None where scores are made on the host anyway.
        """
        ...

    def ranks(
        self, mentions: Mapping[str, NDArray[np.float32]], targets: NDArray[np.int64]
    ) -> NDArray[np.int64] | None:
        """Where the target of each mention stands among all entities by the same mean, from 1; equal ones by id.

        None where scores are made on the host anyway.
        """
        ...


@dataclass(frozen=True)
class EntityRow:
    """An entity of a table, of the bundle or added later.

    Attributes:
        encoded: from the name of a tensor to what the encoder gave of it.
        inputs: from the name of an input to what it was encoded from.
    """

    label: str
    encoded: Callable[[str], NDArray[np.float32]]
    inputs: Callable[[str], NDArray[Any]]


class LinkRuntime(Runtime, Protocol):
    """runtime.py of link prediction."""

    @property
    def SHOWS_IMAGES(self) -> bool:
        """Whether a query shows the images of an entity, so that it can be asked which entity's."""
        ...

    def image_inputs(self, bundle: Bundle, images: Sequence[Path | Image]) -> dict[str, NDArray[np.float32]]:
        """The inputs of the image graph for one entity's images, in the order of the data set; 1 row each.

        Raises QueryError: always, where no query shows images.
        """
        ...

    @property
    def entity_batch(self) -> Callable[..., EntityBatch]:
        """From a bundle and a caller's modalities by name to checked inputs of the encoder graph.

        Raises QueryError; always, where entities cannot be encoded without training.
        """
        ...

    def explained(self, bundle: Bundle, entity: EntityRow) -> EntityExplanation:
        """What counts in an entity.

        Raises:
            QueryError: the family has no such weights, or not of this entity.
        """
        ...

    def explained_query(self, bundle: Bundle, queries: Queries) -> QueryExplanation:
        """What counts in one query.

        Raises:
            QueryError: the family looks at no image with its queries.
        """
        ...

    def new_entities(self, bundle: Bundle) -> EntityBatch | None:
        """A few entities to try the encoder with, one without each modality; None where there is none."""
        ...

    def bundle_entities(self, bundle: Bundle) -> EntityBatch | None:
        """The inputs of the bundle's own entities; None where no graph made its table."""
        ...

    def query_batches(
        self, bundle: Bundle, table: NDArray[np.float32], queries: Queries
    ) -> Iterator[tuple[Rows, Arrays]]:
        """Which queries go into one run of the query graph, and its inputs."""
        ...

    def encoder_graph(self, bundle: Bundle) -> str:
        """The fastest of the graphs that encode entities."""
        ...

    def stand_ins(self, bundle: Bundle, device: str, threads: int | None) -> LinkStandIns:
        """What does the work of graphs on a device."""
        ...


class LinkingRuntime(Runtime, Protocol):
    """runtime.py of entity linking."""

    @property
    def UNITS(self) -> tuple[str, ...]:
        """Whose scores are averaged."""
        ...

    def open_tokenizer(self, bundle: Bundle) -> Tokenizer:
        """Raises BundleError, or QueryError where the bundle has none."""
        ...

    def read_texts(self, config: Any, tokenizer: Tokenizer, mentions: Sequence[Mention]) -> ClipTexts:
        """input_ids and attention_mask, int64 [n, text_length], and which texts were cut, bool [n]."""
        ...

    def read_images(
        self, config: Any, mentions: Sequence[Mention], *, skip_unreadable: bool = False, kind: str = "mention"
    ) -> NDArray[np.float32]:
        """float32 [n, 3, image_size, image_size], all zero without an image; `kind` is for messages."""
        ...

    def explained_pair(
        self,
        bundle: Bundle,
        mention: Mapping[str, NDArray[Any]],
        entity: Mapping[str, NDArray[Any]],
        image_tokens: NDArray[np.float32] | None,
    ) -> PairExplanation:
        """The parts of a pair's score, from a row of the pieces of each side and the tokens of the mention's image."""
        ...

    def stand_in(self, bundle: Bundle, device: str, threads: int | None) -> InteractionStandIn | None:
        """What does the work of the interaction graph on a device."""
        ...


class SentenceTexts(Protocol):
    """Token inputs of sentences, int64 [n, max_length] each."""

    @property
    def input_ids(self) -> NDArray[np.int64]: ...
    @property
    def attention_mask(self) -> NDArray[np.int64]: ...
    @property
    def token_type_ids(self) -> NDArray[np.int64]: ...


class TagTexts(SentenceTexts, Protocol):
    """Those of tagging."""

    @property
    def words(self) -> NDArray[np.int64]:
        """The word that begins at each word piece, or -1."""
        ...


class SentenceRuntime(Runtime, Protocol):
    """runtime.py of the sentence tasks."""

    def open_tokenizer(self, bundle: Bundle) -> Tokenizer:
        """Raises BundleError, or QueryError where the bundle has none."""
        ...

    def seen_images(self, images: SentenceImages, config: Any) -> SentenceImages:
        """What the model looks at of the images of a post."""
        ...

    def read_crops(
        self, images: SentenceImages, config: Any, *, skip_unreadable: bool = False
    ) -> dict[str, NDArray[np.float32]]:
        """The arguments of `encode_images`. Raises DataError: an image cannot be read."""
        ...

    def found_in_images(
        self, bundle: Bundle, texts: Mapping[str, NDArray[np.int64]], image_state: NDArray[np.float32]
    ) -> dict[str, NDArray[np.float32]]:
        """By which weights the word pieces of a sentence take from each place of its images.

        "aux" and "rcnn", float32 [fused layers, max_length, images, rows, columns].

        Args:
            texts: the token inputs of one sentence, int64 [max_length] each.
            image_state: float32 [visual tokens, width].
        """
        ...

    def spans_read(
        self, tokenizer: Tokenizer, sentences: Sequence[tuple[Sequence[str], Span, Span]], config: Any
    ) -> NDArray[np.bool_]:
        """Whether head and tail of each sentence begin within what the model reads, bool [n]."""
        ...

    def relation_texts(
        self, tokenizer: Tokenizer, sentences: Sequence[tuple[Sequence[str], Span, Span]], config: Any
    ) -> SentenceTexts:
        """Sentences with markers around head and tail. Raises QueryError."""
        ...

    def cut_relation_texts(
        self, tokenizer: Tokenizer, sentences: Sequence[tuple[Sequence[str], Span, Span]], config: Any
    ) -> NDArray[np.bool_]:
        """Which of them go on behind what `relation_texts` reads, bool [n]."""
        ...

    def noise_texts(self, config: Any) -> dict[str, NDArray[np.int64]]:
        """Token inputs of random sentences of unequal length, to try a model with."""
        ...

    def marker_positions(self, input_ids: NDArray[np.int64], config: Any) -> NDArray[np.int64]:
        """Where head and tail are marked, int64 [n, 2]. Raises QueryError."""
        ...

    def tagging_texts(self, tokenizer: Tokenizer, sentences: Sequence[Sequence[str]], config: Any) -> TagTexts:
        """Sentences as word pieces. Raises QueryError."""
        ...

    def tag_labels(self, inputs: Any, tags: Sequence[Sequence[str]]) -> NDArray[np.int64]:
        """The classes of word pieces from the tags of words, int64 [n, max_length]."""
        ...
