"""load_sharded: from the folder of a sharded bundle to what answers from it."""

from __future__ import annotations

from pathlib import Path

from ..registry import ENTITY_LINKING
from .sharded_linker import ShardedLinker
from .sharded_model import ShardedModel
from .shards import FindShards, open_front


def load_sharded(
    path: str | Path,
    backend: str = "auto",
    device: str = "auto",
    *,
    threads: int | None = None,
    follow_links: bool = False,
    hash_always: bool = False,
    shards: FindShards | None = None,
) -> ShardedModel | ShardedLinker:
    """Open what `mmkg-sdk bundle shard` wrote, verify every file, and make it ready to answer.

    `ShardedModel.load` and `ShardedLinker.load` do the same for a bundle whose task is known.

    Args:
        device: where queries are encoded; shards score on the CPU.
        shards: from the front to its shards, as `mmkg_sdk.serving.ray.RayShards` has them; None: a thread of this
            process for each.

    Other arguments and errors are those of `mmkg_sdk.load`.
    """
    task = open_front(path, follow_links=follow_links, hash_always=hash_always).config.task
    kind: type[ShardedModel | ShardedLinker] = ShardedLinker if task == ENTITY_LINKING else ShardedModel
    return kind.load(
        path,
        backend,
        device,
        threads=threads,
        follow_links=follow_links,
        hash_always=hash_always,
        shards=shards,
    )
