"""An engine of a graph for this machine: taken from the cache, or built and kept there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ...bundle import Bundle
from ...errors import BackendError
from ..base import parse_device
from .bindings import Bindings, Flavour, load_bindings
from .build import build_engine
from .cache import CachedEngine, EngineCache
from .machine import Machine
from .options import BuildOptions
from .record import ANY, EngineKey, Target, graph_content

_log = logging.getLogger("mmkg_sdk.engines")


@dataclass(frozen=True)
class PreparedEngine:
    """An engine in the cache, and whether it was built just now."""

    engine: CachedEngine
    built: bool

    def to_json(self) -> dict[str, Any]:
        """Where it is, and what of."""
        record = self.engine.record
        return {
            "path": str(self.engine.path),
            "built": self.built,
            "bytes": record.size,
            "seconds": record.seconds,
            "profiles": [{axis: str(one) for axis, one in profile.items()} for profile in record.profiles],
            **asdict(record.key),
        }


def prepare_engine(
    bindings: Bindings,
    bundle: Bundle,
    graph: str,
    options: BuildOptions,
    machine: Machine,
    cache: EngineCache,
) -> PreparedEngine:
    """The engine that is built with these options, from the cache if it is there.

    Of several processes that want the same engine one builds, and the others wait for it. A build that ends early, by
    an error or a kill, leaves nothing in the cache.

    Raises:
        BackendError: it cannot be built or kept, or another process has built it for too long.
    """
    options.check(bindings.flavour)
    key = _key(bindings, bundle, graph, options, machine)
    if found := cache.exact(key):
        return PreparedEngine(found, False)
    with cache.lock(key):
        if found := cache.exact(key):  # by the process that we waited for
            return PreparedEngine(found, False)
        _log.info("%s is built as an engine of %s %s.", graph, bindings.flavour, bindings.version)
        built = build_engine(bindings, bundle, graph, options, machine, timing_cache=cache.times(key))
        kept = cache.put(key, built.plan, built.profiles, built.seconds)
        if built.timing_cache is not None:
            cache.put_times(key, built.timing_cache)
        return PreparedEngine(kept, True)


def fitting_engine(
    bindings: Bindings, bundle: Bundle, graph: str, machine: Machine, cache: EngineCache
) -> PreparedEngine:
    """The engine of a graph that was built last and fits this machine, with whatever options; else one with none.

    Raises:
        BackendError: see `prepare_engine`.
    """
    assert machine.capability is not None
    content = graph_content(bundle, graph)
    found = cache.fitting(Target(graph, content, bindings.flavour, bindings.version, machine.capability))
    if found:
        return PreparedEngine(found, False)
    _log.warning(
        "%s has no engine here yet. It is built now, which may take minutes; `mmkg-sdk build-engine` does it ahead.",
        graph,
    )
    return prepare_engine(bindings, bundle, graph, BuildOptions(), machine, cache)


def build_engines(
    bundle: Bundle,
    options: BuildOptions,
    *,
    flavour: Flavour | None = None,
    device: str = "cuda",
    progress: Callable[[str], object] = lambda message: None,
) -> Iterator[PreparedEngine]:
    """The engine of each graph of a bundle, built with these options where it is not in the cache; one after another.

    Args:
        flavour: None takes TensorRT where it is installed, else TensorRT for RTX.
        device: the GPU that TensorRT builds on; TensorRT for RTX needs none.
        progress: is told which graph comes.

    Raises:
        BackendError: no graph has an axis of the options, or an engine cannot be built or kept.
    """
    bindings = load_bindings(flavour)
    options.check(bindings.flavour)
    known = {axis for spec in bundle.graphs.values() for axis in spec.axes()}
    if unknown := options.buckets.keys() - known:
        raise BackendError(f"no graph of this bundle has an axis {min(unknown)!r:.80}; there are {', '.join(known)}.")
    machine = Machine()
    if bindings.rtx is None:
        from ...kernels.gpu import Gpu

        machine = Machine.of(Gpu.open(parse_device(device)[1]))
    cache = EngineCache.open()
    for graph in bundle.graphs:
        progress(f"{graph}: {bindings.flavour} {bindings.version}")
        yield prepare_engine(bindings, bundle, graph, options, machine, cache)


def _key(bindings: Bindings, bundle: Bundle, graph: str, options: BuildOptions, machine: Machine) -> EngineKey:
    if bindings.rtx is not None:
        architecture = ",".join(options.compute_capabilities) or ANY
    elif machine.capability is None:
        raise BackendError(
            "TensorRT builds on the GPU that the engine is for, and there is none here. The flavour tensorrt-rtx "
            "builds without one."
        )
    else:
        architecture = machine.capability
    content = graph_content(bundle, graph)
    return EngineKey(graph, content, bindings.flavour, bindings.version, architecture, options.to_json())
