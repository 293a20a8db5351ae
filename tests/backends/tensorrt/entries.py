"""Entries of a cache whose engines are some bytes: the cache does not look into them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from mmkg_sdk.backends.tensorrt.cache import CachedEngine, EngineCache
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.profiles import Range
from mmkg_sdk.backends.tensorrt.record import EngineKey, Target

CONTENT = hashlib.sha256(b"a graph").hexdigest()
PROFILES = ({"batch": Range(1, 1, 1)}, {"batch": Range(2, 256, 256)})
PLAN = b"an engine, as far as the cache is concerned" * 100

KEY = EngineKey("query_encoder", CONTENT, "tensorrt", "10.16.1.11", "9.0", BuildOptions().to_json())
TARGET = Target("query_encoder", CONTENT, "tensorrt", "10.16.1.11", "9.0")


def key_with(options: BuildOptions | None = None, **parts: str) -> EngineKey:
    """KEY, but for some parts."""
    return replace(KEY, options=(options or BuildOptions()).to_json(), **parts)


def put(cache: EngineCache, key: EngineKey = KEY, plan: bytes = PLAN) -> CachedEngine:
    """An entry."""
    with cache.lock(key):
        return cache.put(key, plan, PROFILES, 1.5)


def record_of(engine: CachedEngine) -> Path:
    """The file of its record."""
    return engine.path.with_suffix(".json")
