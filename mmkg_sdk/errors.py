"""Every error of the SDK. Each message says what was found, what was expected and what to do."""

from __future__ import annotations


class MmkgError(Exception):
    """Base of all errors that the SDK raises on purpose."""


class DataError(MmkgError):
    """A data set, token file, image or run folder is not what it should be."""


class ExportError(MmkgError):
    """A checkpoint cannot be imported, or a bundle cannot be written."""


class BundleError(MmkgError):
    """A bundle on disk is missing, incomplete, altered or of another version."""


class BackendError(MmkgError):
    """A backend, device or package is not there, or it failed while running."""


class QueryError(MmkgError):
    """A query cannot be answered as asked: unknown label, bad id, wrong shape."""


def missing_package(package: str, extra: str, purpose: str) -> BackendError:
    """The error for a package that is not installed, with the command that installs it."""
    return BackendError(f"{purpose} needs {package}, which is not installed. Run: pip install 'mmkg_sdk[{extra}]'")
