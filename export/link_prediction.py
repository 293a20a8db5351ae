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
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.bundle.manifest import manifest_contents
from mmkg_sdk.evaluation.link_prediction import evaluate_link_prediction
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.modalities.model_image_tokens import GRAPH, ModelImageTokenizer
from mmkg_sdk.modalities.stored_tokenizers import TOKENIZERS, parsed_tokenizers
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, KnownTriples, Queries
from mmkg_sdk.run import Run, RunData

from .parity import ERROR_LIMITS, MRR_LIMITS, ParityCheck, ScoreComparison, mrr_check, relative_error

TOP = 10
MAX_ENTITIES = 2048
MAX_TRIPLES = 128
# Queries are compared some at a time: so much goes into what a chunk of them takes, at so much for each candidate of
# each query: two matrices of scores, the order of each, and what "complete" holds beside its table.
_CHUNK_BYTES = 256 << 20
_PAIR_BYTES = 64

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
    tensors = {"table": table, "triples": triples, "known_triples": index, **own}
    listed = manifest_contents({"family": run.family, "config": run.config}).files
    files = {name: content for name, content in run.files.items() if name in listed}  # others serve training alone
    return RunData(run.data_name, run.labels, tensors, files)


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
    at_once = max(1, _CHUNK_BYTES // (_PAIR_BYTES * len(opened.table)))
    parts = [triples[start : start + at_once] for start in range(0, len(triples), at_once)]
    for direction, side in ((TAIL, "tails"), (HEAD, "heads")):
        asked = [Queries.for_triples(part, direction) for part in parts]
        checks += _query_checks(opened, asked, reference, side, limit)
    known, protocol = opened.bundle.known_triples, contract.link_config(opened.bundle.config).protocol
    ranks, wanted = (
        np.concatenate([evaluate_link_prediction(scorer, part, known, protocol).ranks["published"] for part in parts])
        for scorer in (opened.score_queries, reference)
    )
    checks += _code_checks(opened.bundle)
    mrr_limit = MRR_LIMITS[opened.bundle.precision]
    return [*checks, mrr_check("query_encoder", "change of the filtered MRR", ranks, wanted, mrr_limit)]


def _query_checks(opened: Model, asked: list[Queries], reference: Scorer, side: str, limit: float) -> list[ParityCheck]:
    """The scores and best answers of the queries, some at a time, by the graphs and by "complete"."""
    compared = {"query_encoder": ScoreComparison()}
    if "complete" in opened.bundle.graphs and opened.backend.name == "onnxruntime":
        compared["complete"] = ScoreComparison()
    for queries in asked:
        expected = reference(queries)
        found = opened.score_queries(queries)
        best = np.argsort(-found, axis=1, kind="stable")[:, :TOP]
        compared["query_encoder"].add(found, expected, best, expected)
        if "complete" in compared:
            inputs = {"entity": queries.entity, "relation": queries.relation, "direction": queries.direction}
            answers = opened.backend.run("complete", inputs)
            own = np.take_along_axis(expected, answers["ids"], axis=1)
            compared["complete"].add(answers["scores"], own, answers["ids"][:, :TOP], expected)
    return [check for subject, one in compared.items() for check in one.checks(subject, side, limit)]


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


def _code_checks(bundle: Bundle) -> list[ParityCheck]:
    """The graphs of VQ models that make tokens of pictures, by what the models said of some when they were traced."""
    if TOKENIZERS not in bundle.files:
        return []
    readers = parsed_tokenizers(bundle.files[TOKENIZERS], bundle.path)
    return [
        ParityCheck(GRAPH, f"share of {name} codes that are not the model's", reader.share_wrong(), 0.0)
        for name, reader in readers.items()
        if isinstance(reader, ModelImageTokenizer)
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
