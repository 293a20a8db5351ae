"""Ray: many processes on one machine or many. docs/ray.md has a worked example.

`Answer` and `Encode` are for `ray.data.Dataset.map_batches`, with one model per actor; `encode_into` writes a bundle
with the entities of a data set; `RayShards` has the shards of a table in actors; `application` is a deployment of Ray
Serve.
"""

from __future__ import annotations

from .answer import Answer
from .encode import Encode, encode_into
from .service import Limits, application
from .shards import RayShards

__all__ = ["Answer", "Encode", "Limits", "RayShards", "application", "encode_into"]
