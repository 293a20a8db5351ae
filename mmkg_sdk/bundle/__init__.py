"""The bundle: the verified, read-only folder that is deployed. `Bundle.open` checks everything before it returns."""

from .bundle import Bundle
from .hashes import sha256_of
from .manifest import FORMAT_VERSION, MANIFEST, PRECISIONS, QUANTIZED, read_manifest

__all__ = ["FORMAT_VERSION", "MANIFEST", "PRECISIONS", "QUANTIZED", "Bundle", "read_manifest", "sha256_of"]
