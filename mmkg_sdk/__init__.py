"""mmkg_sdk: deploy multi-modal knowledge graph models.

    import mmkg_sdk
    model = mmkg_sdk.load("my-bundle")
    model.predict_tails("Norway", "capital", k=3)

Importing this package loads numpy and nothing heavier; torch and onnxruntime arrive when a backend asks for them.
"""

from __future__ import annotations

from pathlib import Path

# In a checkout, export/ and bench/ lie beside this package; installed, they are inside it.
if (Path(__file__).parent.parent / "pyproject.toml").is_file():
    __path__.append(str(Path(__file__).parent.parent))

from .errors import BackendError, BundleError, DataError, ExportError, MmkgError, QueryError
from .model import Model
from .opening import load
from .predictions import Predictions, Ranking

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BundleError",
    "DataError",
    "ExportError",
    "MmkgError",
    "Model",
    "Predictions",
    "QueryError",
    "Ranking",
    "load",
]
