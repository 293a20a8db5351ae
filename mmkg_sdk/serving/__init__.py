"""Beyond one process and one machine: tables in shards, and engines that serve."""

from __future__ import annotations

from .opening import load_sharded
from .sharded_linker import ShardedLinker
from .sharded_model import ShardedModel
from .sharding import shard_bundle

__all__ = ["ShardedLinker", "ShardedModel", "load_sharded", "shard_bundle"]
