"""Call: one stage of the way from ids to labels, as the SDK does it, in three parts that are timed apart.

NEVER RUN ON A GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.backends import Backend, DeviceArray
from mmkg_sdk.backends.captured import QueriesOnGpu
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.streams import thread_stream
from mmkg_sdk.errors import BackendError
from mmkg_sdk.families import contract
from mmkg_sdk.families.runtimes import EncoderStandIn
from mmkg_sdk.kernels.gpu import GpuArray, Stream
from mmkg_sdk.kernels.gpu.arguments import TableOnGpu
from mmkg_sdk.ranking.known_triples import TAIL, Queries

from ..sweep.counts import random_entities
from ..sweep.questions import answers, random_queries, random_questions
from .cells import Cell

# Sets of inputs that take turns, so that no answer is at hand from the call before.
TURNS = 4

Arrays = dict[str, NDArray[Any]]


class Call(Protocol):
    """Attributes:
    whole: why `run` goes from host to host, so that its time on the device is not known apart; None: it does not.
    waits: why `run` returns only when the device is done, so that the time to launch is not known apart.
    graphless: why it cannot be a CUDA graph; None: it may be.
    """

    @property
    def whole(self) -> str | None: ...

    @property
    def waits(self) -> str | None: ...

    @property
    def graphless(self) -> str | None: ...

    def load(self, turn: int) -> None:
        """Bring one of the sets of inputs (0 to TURNS - 1) to the device."""
        ...

    def run(self) -> None:
        """Put the work on the stream; it need not be done when this returns."""
        ...

    def fetch(self) -> Arrays:
        """What was found, on the host, whole."""
        ...


@runtime_checkable
class OwnGraphs(Protocol):
    """A Call whose backend makes CUDA graphs of runs by itself, and can be told not to."""

    def use_graphs(self, on: bool) -> None:
        """Whether `run` is one from now on.

        Raises:
            BackendError: it cannot be.
        """
        ...


class GraphCall:
    """A graph of the bundle, by the backend that was asked for."""

    whole: str | None = None

    def __init__(self, model: Model, graph: str, turns: list[Arrays], output: str) -> None:
        self._backend, self._graph, self._turns, self._output = model.backend, graph, turns, output
        self._placed: Mapping[str, Any] = {}
        self._found: Any = None
        self.waits: str | None = None
        own = "an engine runs as a CUDA graph of its own from its third run on"  # backends/captured_runs.py
        self.graphless = own if model.backend.name == "tensorrt" else None

    def load(self, turn: int) -> None:
        """See Call."""
        self._placed = {name: self._backend.place(array) for name, array in self._turns[turn].items()}

    def run(self) -> None:
        """See Call."""
        self._found = self._backend.run_placed(self._graph, self._placed)[self._output]

    def fetch(self) -> Arrays:
        """See Call."""
        return {"vectors": self._found.numpy()}


class OnnxRuntimeCall(GraphCall):
    """See GraphCall; an OwnGraphs, whose backend else makes graphs of what comes a few times."""

    def __init__(self, backend: OnnxRuntimeBackend, model: Model, graph: str, turns: list[Arrays], output: str) -> None:
        super().__init__(model, graph, turns, output)
        self._own = backend
        # backends/onnxruntime_cuda.py says why.
        self.waits = "each run has a stream of ONNX Runtime's own and is whole when it returns"

    def use_graphs(self, on: bool) -> None:
        """See OwnGraphs."""
        self._own.cuda_graphs = on
        if on:
            self._own.capture(self._graph, self._placed)


class PlacedEncoding:
    """Entities by what stands in for the encoder graph, on the device."""

    whole: str | None = None
    waits: str | None = None
    graphless: str | None = None

    def __init__(self, backend: Backend, encoder: EncoderStandIn, turns: list[Arrays]) -> None:
        self._backend, self._encoder, self._turns = backend, encoder, turns
        self._placed: Mapping[str, Any] = {}
        self._found: DeviceArray | None = None

    def load(self, turn: int) -> None:
        """See Call."""
        self._placed = {name: self._backend.place(array) for name, array in self._turns[turn].items()}

    def run(self) -> None:
        """See Call."""
        self._found = self._encoder.placed_vectors(self._placed, self._backend.stream())

    def fetch(self) -> Arrays:
        """See Call."""
        assert self._found is not None
        return {"vectors": self._found.numpy()}


class StandInEncoding:
    """Entities by what stands in for the encoder graph, from host to host: on a processor, which stands for a GPU."""

    whole: str | None = "encoding on a processor is one call from host to host"
    waits = whole
    graphless = whole

    def __init__(self, model: Model, cell: Cell, seed: int) -> None:
        self._model = model
        self._turns = [random_entities(model.bundle, cell.tokens, cell.batch, seed + turn) for turn in range(TURNS)]
        self._turn = 0
        self._found: Arrays = {}

    def load(self, turn: int) -> None:
        """See Call."""
        self._turn = turn

    def run(self) -> None:
        """See Call."""
        self._found = dict(self._model.encode_batch(self._turns[self._turn]))

    def fetch(self) -> Arrays:
        """See Call."""
        return {"vectors": self._found["vectors"]}


class PlacedQuery:
    """Query vectors from ids on the GPU, by what stands in for the query graph: what a captured answer begins with."""

    whole: str | None = None
    waits: str | None = None
    graphless: str | None = None

    def __init__(self, maker: QueriesOnGpu, table: NDArray[np.float32], device: str, turns: list[Queries]) -> None:
        self._maker, self._device, self._turns = maker, device, turns
        self._gpu, self._batch = self._stream().gpu, len(turns[0])
        self._table = TableOnGpu.copied(self._gpu, table)
        self._ids: list[GpuArray] = []
        self._found = self._gpu.empty((self._batch, table.shape[1]), np.float32)

    def load(self, turn: int) -> None:
        """See Call."""
        asked = self._turns[turn]
        columns = (asked.entity, asked.relation, asked.direction)
        self._ids = [self._gpu.array(column, self._stream()) for column in columns]

    def run(self) -> None:
        """See Call."""
        entity, relation, direction = (column.pointer for column in self._ids)
        ids = (entity, relation, direction)
        self._maker.launch(self._table, self._batch, ids, self._found.pointer, self._stream())

    def fetch(self) -> Arrays:
        """See Call."""
        return {"vectors": self._found.numpy(self._stream())}

    def _stream(self) -> Stream:
        found = thread_stream(self._device)
        assert found is not None  # what stands in on a GPU has kernels for it
        return found


class StandInQuery:
    """Query vectors from ids of the host, by whatever the model makes them with."""

    whole: str | None = None
    waits: str | None = None
    graphless: str | None = "ids are read on the host"

    def __init__(self, model: Model, cell: Cell, seed: int) -> None:
        self._model = model
        self._turns = [_queries(model, cell.batch, seed + turn) for turn in range(TURNS)]
        self._turn = 0
        self._found: Any = None

    def load(self, turn: int) -> None:
        """See Call."""
        self._turn = turn

    def run(self) -> None:
        """See Call."""
        self._found = self._model.placed_query_vectors(self._turns[self._turn])

    def fetch(self) -> Arrays:
        """See Call."""
        return {"vectors": self._found.numpy()}


class LabelCall:
    """From labels to labels, as an application asks."""

    whole: str | None = "an answer is one call from labels to labels"
    waits = whole
    graphless = whole

    def __init__(self, opened: Any, cell: Cell, seed: int, turns: int = TURNS) -> None:
        found = random_questions(opened, seed)
        self._opened = opened
        self._turns = [[next(found) for _ in range(cell.batch)] for _ in range(turns)]
        self._turn, self._k = 0, cell.k
        self._found: list[Any] = []

    def load(self, turn: int) -> None:
        """See Call."""
        self._turn = turn

    def run(self) -> None:
        """See Call."""
        asked = self._turns[self._turn]
        if self._k is None:
            self._found = answers(self._opened, asked)
        else:
            heads, relations = zip(*asked, strict=True)
            self._found = [one.labels for one in self._opened.predict_tails(heads, relations, k=self._k)]

    def fetch(self) -> Arrays:
        """See Call."""
        return {"labels": np.array([repr(answer) for answer in self._found])}


def encoding(model: Model, cell: Cell, seed: int, *, stand_in: bool) -> Call:
    """Entities of `cell.tokens` tokens each."""
    bundle, backend, runtime = model.bundle, model.backend, contract.link_runtime(model.bundle.family)
    turns = [random_entities(bundle, cell.tokens, cell.batch, seed + turn).arrays for turn in range(TURNS)]
    if stand_in and backend.device == "cpu":
        return StandInEncoding(model, cell, seed)
    if stand_in:
        encoder = runtime.stand_ins(bundle, backend.device, backend.threads).encoder
        if encoder is None:
            raise BackendError(f"there are no kernels for the encoder of this bundle on {backend.device}")
        return PlacedEncoding(backend, encoder, turns)
    graph = runtime.encoder_graph(bundle)
    names = {tensor.name for tensor in bundle.graphs[graph].inputs}
    return _by_graph(model, graph, [{name: turn[name] for name in turn if name in names} for turn in turns], "vectors")


def querying(model: Model, cell: Cell, seed: int, *, stand_in: bool) -> Call:
    """Vectors of random (head, relation) pairs."""
    if stand_in:
        bundle, backend = model.bundle, model.backend
        query = contract.link_runtime(bundle.family).stand_ins(bundle, backend.device, backend.threads).query
        maker = None if query is None else query.on_gpu()
        if maker is None:
            return StandInQuery(model, cell, seed)
        asked = [_queries(model, cell.batch, seed + turn) for turn in range(TURNS)]
        return PlacedQuery(maker, model.table, backend.device, asked)
    turns = []
    for turn in range(TURNS):
        queries = _queries(model, cell.batch, seed + turn)
        batches = list(contract.link_runtime(model.bundle.family).query_batches(model.bundle, model.table, queries))
        turns.append(batches[0][1])
        if len(batches) > 1:  # texts of several lengths: the SDK runs the graph for each
            return StandInQuery(model, cell, seed)
    return _by_graph(model, "query_encoder", turns, "queries")


def _by_graph(model: Model, graph: str, turns: list[Arrays], output: str) -> Call:
    if isinstance(model.backend, OnnxRuntimeBackend):
        return OnnxRuntimeCall(model.backend, model, graph, turns, output)
    return GraphCall(model, graph, turns, output)


def query_turns(model: Model, cell: Cell, seed: int) -> list[NDArray[np.float32]]:
    """The vectors of random queries, float32 [batch, width] each, as the host knows them."""
    return [model.query_vectors(_queries(model, cell.batch, seed + turn)) for turn in range(TURNS)]


def _queries(model: Model, batch: int, seed: int) -> Queries:
    heads, relations = random_queries(model.bundle, batch, seed).T
    return Queries(heads.copy(), relations.copy(), np.full(batch, TAIL))
