"""Bundles in repositories of the Hugging Face Hub: fetched by a pinned revision, pushed with a model card."""

from .fetching import fetch_bundle
from .pushing import push_bundle

__all__ = ["fetch_bundle", "push_bundle"]
