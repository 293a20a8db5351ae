"""What the runtime must know of MKGformer, without torch. Link prediction and the sentence tasks each have a file."""

from __future__ import annotations

from types import ModuleType

from ...bundle import Bundle
from ...bundle.contents import Contents
from ...registry import LINK_PREDICTION
from .config import MKGformerConfig
from .links import runtime as link_runtime
from .links.runtime import query_batches
from .sentences import runtime as sentence_runtime

__all__ = ["check_bundle", "contents", "query_batches"]


def contents(config: MKGformerConfig) -> Contents:
    """What the bundle of this configuration holds."""
    found: Contents = _part(config).contents(config)
    return found


def check_bundle(bundle: Bundle) -> None:
    """What shapes and dtypes do not tell.

    Raises:
        BundleError: something is not as it should be.
    """
    _part(bundle.config).check_bundle(bundle)


def _part(config: MKGformerConfig) -> ModuleType:
    return link_runtime if config.task == LINK_PREDICTION else sentence_runtime
