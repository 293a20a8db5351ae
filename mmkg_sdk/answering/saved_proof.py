"""Whether a saved bundle answers as the model that it was saved from: the same numbers to the bit where they are copied
or made by kernels, and within the limits of verification where a graph makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, open_backend
from ..bundle import Bundle
from ..errors import BackendError, BundleError, ExportError
from ..families import contract
from ..families.entity_batch import EntityBatch
from ..ranking.known_triples import HEAD, TAIL, Queries
from .entity_table import EntityTable
from .link_model import LinkModel
from .probes import LIMITS, largest_difference

# Entities that are asked about in both directions and encoded again: evenly spaced ones of all, and of those added.
_ASKED, _BEST = 64, 10
_ROWS = 1 << 14  # compared at a time


def saved_model(model: LinkModel, bundle: Bundle, *, compiled: bool) -> LinkModel:
    """A bundle opened as a model's own is, on the CPU."""
    kind: Callable[..., LinkModel] = type(model)
    return kind(bundle, backend_like(model.backend, bundle), compiled=compiled)


def backend_like(backend: Backend, bundle: Bundle) -> Backend:
    """For another bundle, on the CPU."""
    return open_backend(bundle, backend.name if backend.name != "tensorrt" else "auto", "cpu", backend.threads)


def complete_probe(model: LinkModel) -> NDArray[np.float32]:
    """The scores that the graph "complete" gives for its probe (probes.py), by a plain sort of all scores."""
    best = model.bundle.graphs["complete"].outputs[0].shape[1]
    zeros = np.zeros(2, np.int64)
    scores = model.score_queries(Queries(zeros, zeros, np.full(2, TAIL)))
    return -np.sort(-scores, axis=1)[:, :best]


def prove(model: LinkModel, entities: EntityTable, folder: Path) -> None:
    """Open what was written and compare.

    Raises:
        ExportError: it does not open, or gives something else.
    """
    try:
        bundle = Bundle.open(folder, hash_always=True)
        with saved_model(model, bundle, compiled=model.compiled) as saved:
            _compare_contents(model, entities, saved)
            _compare_answers(model, entities, saved)
            _compare_encoder(saved, entities.base)
    except (BundleError, BackendError) as err:
        raise ExportError(f"the saved bundle does not open, so it was not kept: {err}") from err


def _compare_contents(model: LinkModel, entities: EntityTable, saved: LinkModel) -> None:
    """Labels, every number of the table, known triples, and what stands for an unknown structure."""
    if saved.entities != entities.labels:
        raise differs("labels")
    for name in entities.encoded:
        start = 0
        for part in entities.parts_of(name):
            for row in range(0, len(part), _ROWS):
                block = part[row : row + _ROWS]
                if not np.array_equal(block, saved.bundle.encoded[name][start + row : start + row + len(block)]):
                    raise differs(f"table ({name})")
            start += len(part)
    for name, array in model.bundle.known_triples.arrays().items():
        if not np.array_equal(array, saved.bundle.known_triples.arrays()[name]):
            raise differs("known triples")
    if not np.array_equal(model.bundle.mean_structure, saved.bundle.mean_structure):
        raise differs("mean structure")


def _compare_answers(model: LinkModel, entities: EntityTable, saved: LinkModel) -> None:
    """Query vectors, and ids and scores of the best answers; by "complete", too, where the backend runs it."""
    asked = np.unique(np.concatenate([_spaced(0, len(entities)), _spaced(entities.base, len(entities))]))
    turn = np.arange(2 * len(asked))
    queries = Queries(np.repeat(asked, 2), turn // 2 % len(model.relations), np.where(turn % 2 == 0, TAIL, HEAD))
    limit = LIMITS[model.bundle.precision]
    vectors = model.query_vectors(queries)
    check("query vectors", saved.query_vectors(queries), vectors, limit)
    known = model.bundle.known_triples.answers_of(queries)
    best = entities.ranking.top_k(vectors, _BEST, known, None, model.backend.stream())
    found = saved._entities.ranking.top_k(vectors, _BEST, known)
    check("scores", found.scores, best.scores, limit)
    exact = model.backend.device == "cpu" and entities.ranking.name.startswith("the CPU's kernels")
    if exact and not (np.array_equal(found.ids, best.ids) and np.array_equal(found.scores, best.scores)):
        raise differs("best answers")
    if saved.backend.name == "onnxruntime":
        inputs = {"entity": queries.entity, "relation": queries.relation, "direction": queries.direction}
        by_graph = saved.run_graph("complete", inputs, ("ids", "scores"))
        plain = saved._entities.ranking.top_k(vectors, by_graph["scores"].shape[1])
        check("scores of complete.onnx", by_graph["scores"], plain.scores.reshape(by_graph["scores"].shape), limit)


def _compare_encoder(saved: LinkModel, base: int) -> None:
    """Some of the added entities, encoded again from what was saved of them."""
    own = contract.link_runtime(saved.bundle.family).bundle_entities(saved.bundle)
    assert own is not None
    rows = _spaced(base, len(saved.entities))
    found = saved.encode_batch(EntityBatch(own.rows(rows), own.token_count))
    for name, array in found.items():
        check(f"encoder ({name})", array, saved.bundle.encoded[name][rows], LIMITS[saved.bundle.precision])


def _spaced(start: int, stop: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(start, stop - 1, min(_ASKED, stop - start)).astype(np.int64))


def check(what: str, found: NDArray[np.float32], wanted: NDArray[np.float32], limit: float) -> None:
    """Raise ExportError: they differ by more than the limit (see probes.py)."""
    if found.shape != wanted.shape or not largest_difference(what, found, wanted) <= limit:
        raise differs(what)


def differs(what: str) -> ExportError:
    """The error for a saved bundle that has something else than what it was saved from."""
    return ExportError(
        f"the saved bundle has other {what} than what was saved, so it was not kept. Save it again on a sound disk; if "
        "it stays so, report it."
    )
