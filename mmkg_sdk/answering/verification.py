"""Verify a bundle: its files (hashes, shapes, labels), and that it computes what it did at export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..bundle.contents import KNOWN_TRIPLES
from ..bundle.known_triples import check_index_is_of
from ..families import contract
from .asked import answers
from .link_prediction import Model
from .opening import Answerer, answerer_class, load
from .probes import LIMITS, kept_outputs, largest_difference, probe_outputs


def verify_bundle(
    path: Path, *, backend: str = "auto", device: str = "auto", follow_links: bool = False
) -> dict[str, Any]:
    """Open a bundle as `load` does, which checks every file, and compare what it gives with what it gave at export.

    A stored index of known triples must be the one that the triples give. Compared are each graph for its probe; the
    answers to fixed questions, by the way that a user's go; and its own entities, encoded again, with its table. Where
    kernels answer in place of graphs, the graphs answer as well.

    Returns:
        {"bundle", "files", "backend", "limit", "NAME difference"..., "answers at export", "passed"}; differences are
        relative to the root mean square of what is expected. "answers at export" is False for bundles of 0.2.0, which
        kept none.

    Raises:
        BundleError: a file is not what it should be.
        BackendError: a graph does not run.
    """
    with load(path, backend, device, follow_links=follow_links, hash_always=True) as opened:
        bundle = opened.bundle
        if KNOWN_TRIPLES in bundle.tensors:
            check_index_is_of(bundle.path, bundle.tensors[KNOWN_TRIPLES], bundle.all_triples())
        limit = LIMITS[bundle.precision]
        kept, outputs = kept_outputs(bundle), probe_outputs(opened.backend, bundle.graphs)
        differences = {name: largest_difference(name, found, kept.get(name)) for name, found in outputs.items()}
        has_answers = any(name.startswith("answers.") for name in kept)
        differences |= _answer_differences(opened, kept if has_answers else {})
        if isinstance(opened, Model):
            differences |= _encoder_differences(opened)
        return {
            "bundle": str(path),
            "files": len(bundle.manifest["files"]),
            "backend": f"{opened.backend.name} on {opened.backend.device}",
            "limit": limit,
            **{f"{name} difference": value for name, value in differences.items()},
            "answers at export": has_answers,
            "passed": all(value <= limit for value in differences.values()),
        }


def _answer_differences(opened: Answerer, kept: dict[str, Any]) -> dict[str, float]:
    """How far the answers are from those at export, and from those of the graphs where kernels stand in for them."""
    found = answers(opened)
    differences = {name: largest_difference(name, found[name], kept.get(name)) for name in found if kept}
    if opened.has_stand_ins:
        by_graphs = answers(answerer_class(opened.bundle)(opened.bundle, opened.backend))
        for name, wanted in by_graphs.items():
            differences[f"{name} by graphs"] = largest_difference(name, found[name], wanted)
    return differences


def _encoder_differences(model: Model) -> dict[str, float]:
    """How far the encoders are from the table, for all of the bundle's own entities."""
    own = contract.link_runtime(model.bundle.family).bundle_entities(model.bundle)
    if own is None:
        return {}
    graphs = [graph for graph in model.bundle.graphs if graph.startswith("entity_encoder")]
    differences = {}
    for graph in (*graphs, *([None] if model.has_stand_ins else [])):
        found = model.encode_batch(own, graph)
        for name, wanted in model.bundle.encoded.items():
            shown = f"{graph or 'encoder'}" if name == "vectors" else f"{graph or 'encoder'} {name}"
            differences[shown] = largest_difference(name, found[name], wanted)
    return differences
