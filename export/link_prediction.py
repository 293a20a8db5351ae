"""What the bundle of a link prediction model holds, and how far it is from the model.

Rankings are compared as they are, which is reported, and with ties in mind, which is judged: two candidates whose
reference scores differ by no more than the error limit allows may change places; any other difference fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.evaluation.link_prediction import evaluate_link_prediction
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, KnownTriples, Queries
from mmkg_sdk.run import Run, RunData

from .parity import ERROR_LIMITS, MRR_LIMITS, ParityCheck, mrr_check, ranking_checks, relative_error, root_mean_square

TOP = 10
MAX_ENTITIES = 2048
MAX_TRIPLES = 128

Scorer = Callable[[Queries], NDArray[Any]]


def bundle_data(run: Run, model: Any) -> RunData:
    """Labels, triples and their index, the encoded entities in float32, and what the encoders were fed.

    Args:
        model: the torch model in float64, eval mode.
    """
    own = contract.link_graphs(run.family).bundle_tensors(run, model)
    table = {name: rows.astype(np.float32) for name, rows in _encoded(run, model).items()}
    triples = run.tensors("triples")
    index = KnownTriples(np.concatenate(list(triples.values()))).arrays()
    return RunData(run.data_name, run.labels, {"table": table, "triples": triples, "known_triples": index, **own})


def _encoded(run: Run, model: Any) -> dict[str, NDArray[np.float64]]:
    import torch

    with torch.inference_mode():
        encoded = contract.link_graphs(run.family).encoded_entities(model)
        return {name: rows.numpy() for name, rows in encoded.items()}


def ask_for_calibration(run: Run, model: Any, opened: Model) -> None:
    """Ask queries of the training split, in both directions, and encode the run's own images.

    Args:
        model: the torch model.
        opened: the exported bundle; what its graphs are given is recorded.
    """
    for graph, (inputs, outputs) in contract.link_graphs(run.family).graph_cases(run, model).items():
        opened.run_graph(graph, inputs, outputs)
    triples = _sample(_asked_triples(opened, ("train", "valid", "test")), MAX_TRIPLES)
    for direction in (TAIL, HEAD):
        opened.query_vectors(Queries.for_triples(triples, direction))


def parity_checks(run: Run, model: Any, opened: Model) -> list[ParityCheck]:
    """Run every graph of an exported model on its own data and compare with the reference.

    Args:
        model: the reference, float64 torch.
        opened: the exported bundle on a backend.
    """
    encoded = _encoded(run, model)
    reference: Scorer = contract.link_scoring(run.family).scorer(model, run)
    limit = ERROR_LIMITS[opened.bundle.precision]
    checks = _encoder_checks(opened, encoded, limit)
    for graph, (inputs, outputs) in contract.link_graphs(run.family).graph_cases(run, model).items():
        given = opened.run_graph(graph, inputs, outputs)
        for name, wanted in outputs.items():
            error = relative_error(given[name], wanted)
            checks.append(ParityCheck(graph, f"{name}: largest error / rms", error, limit))
    triples = _sample(_asked_triples(opened, ("test", "valid", "train")), MAX_TRIPLES)
    for direction, side in ((TAIL, "tails"), (HEAD, "heads")):
        queries = Queries.for_triples(triples, direction)
        expected, found = reference(queries), opened.score_queries(queries)
        error = relative_error(found, expected)
        checks.append(ParityCheck("query_encoder", f"{side}: largest score error / rms", error, limit))
        slack = limit * root_mean_square(expected)
        best = np.argsort(-found, axis=1, kind="stable")[:, :TOP]
        checks += ranking_checks("query_encoder", side, best, expected, slack)
        if "complete" in opened.bundle.graphs and opened.backend.name == "onnxruntime":
            checks += _complete_checks(opened, queries, expected, side, limit)
    known, protocol = opened.bundle.known_triples, contract.link_config(opened.bundle.config).protocol
    ranked = evaluate_link_prediction(opened.score_queries, triples, known, protocol)
    ideal = evaluate_link_prediction(reference, triples, known, protocol)
    ranks, wanted = ranked.ranks["published"], ideal.ranks["published"]
    mrr_limit = MRR_LIMITS[opened.bundle.precision]
    return [*checks, mrr_check("query_encoder", "change of the filtered MRR", ranks, wanted, mrr_limit)]


def _encoder_checks(model: Model, encoded: dict[str, NDArray[np.float64]], limit: float) -> list[ParityCheck]:
    chosen = _sample(np.arange(len(model.table)), MAX_ENTITIES)
    graphs = [graph for graph in model.bundle.graphs if graph.startswith("entity_encoder")]
    checks = []
    if graphs:
        own = contract.link_runtime(model.bundle.family).bundle_entities(model.bundle)
        assert own is not None
        batch = EntityBatch(own.rows(chosen), own.token_count)
        for graph in graphs:
            found = model.encode_batch(batch, graph)
            for name, expected in encoded.items():
                error = relative_error(found[name], expected[chosen])
                checks.append(ParityCheck(graph, f"{name}: largest error / rms", error, limit))
    for name, expected in encoded.items():
        error = relative_error(model.bundle.encoded[name], expected)
        checks.append(ParityCheck("table", f"{name}: largest error / rms", error, ERROR_LIMITS["fp32"]))
    return checks


def _complete_checks(
    model: Model, queries: Queries, expected: NDArray[np.float64], side: str, limit: float
) -> list[ParityCheck]:
    inputs = {"entity": queries.entity, "relation": queries.relation, "direction": queries.direction}
    found = model.backend.run("complete", inputs)
    own = np.take_along_axis(expected, found["ids"], axis=1)
    slack = limit * root_mean_square(expected)
    error = relative_error(found["scores"], own, expected)
    return [
        ParityCheck("complete", f"{side}: largest score error / rms", error, limit),
        *ranking_checks("complete", side, found["ids"][:, :TOP], expected, slack),
    ]


def _asked_triples(model: Model, splits: tuple[str, ...]) -> NDArray[np.int64]:
    """The triples of the first split that has any."""
    for split in splits:
        if len(model.bundle.triples[split]):
            return model.bundle.triples[split]
    return np.zeros((1, 3), dtype=np.int64)  # a bundle without triples still answers (0, 0, ?)


def _sample(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Evenly spaced rows, at most `count`."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))]
