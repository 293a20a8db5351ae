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


# The packages that an extra brings: by the name that is imported, the one that pip knows and the extra.
_PACKAGES = {
    "onnxruntime": ("onnxruntime", "cpu"),
    "PIL": ("pillow", "text"),
    "tokenizers": ("tokenizers", "text"),
    "torch": ("torch", "train"),
    "transformers": ("transformers", "train"),
    "onnx": ("onnx", "train"),
    "onnxscript": ("onnxscript", "train"),
    "sklearn": ("scikit-learn", "train"),
    "threadpoolctl": ("scikit-learn", "train"),
    "tqdm": ("tqdm", "train"),
    "h5py": ("h5py", "train"),
    "modelopt": ("nvidia-modelopt", "quantize"),
    "matplotlib": ("matplotlib", "all"),
    "pandas": ("pandas", "all"),
    "pyarrow": ("pyarrow", "tables"),
    "plotly": ("plotly", "all"),
    "model_signing": ("model-signing", "sign"),
    "OpenSSL": ("pyopenssl", "sign"),
    "huggingface_hub": ("huggingface_hub", "hub"),
    "ray": ("ray", "ray"),
}


def missing_package(package: str, extra: str, purpose: str) -> BackendError:
    """The error for a package that is not installed, with the command that installs it."""
    return BackendError(f"{purpose} needs {package}, which is not installed. Run: pip install 'mmkg_sdk[{extra}]'")


def unimportable(err: ImportError, purpose: str) -> BackendError | None:
    """The error for an import that failed anywhere; None if it is none of a package that an extra brings."""
    imported = (err.name or "").partition(".")[0]
    if imported not in _PACKAGES:
        return None
    package, extra = _PACKAGES[imported]
    if isinstance(err, ModuleNotFoundError):
        return missing_package(package, extra, purpose)
    return BackendError(f"{purpose} needs {package}, which is installed but does not load: {err}. Install it again.")
