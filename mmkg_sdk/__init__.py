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

from .answering.entities import Entity, FoundEntities, SentenceEntities
from .answering.entity_linking import Linker
from .answering.entity_recognition import Tagger
from .answering.link_prediction import Model
from .answering.links import Link, Links
from .answering.opening import load
from .answering.predictions import Predictions, Ranking
from .answering.relation_extraction import Extractor, RelationMention
from .answering.relations import ExtractedRelation, ExtractedRelations
from .data.mentions import Mention
from .data.sentences import SentenceImages
from .errors import BackendError, BundleError, DataError, ExportError, MmkgError, QueryError
from .version import __version__

__all__ = [
    "BackendError",
    "BundleError",
    "DataError",
    "Entity",
    "ExportError",
    "ExtractedRelation",
    "ExtractedRelations",
    "Extractor",
    "FoundEntities",
    "Link",
    "Linker",
    "Links",
    "Mention",
    "MmkgError",
    "Model",
    "Predictions",
    "QueryError",
    "Ranking",
    "RelationMention",
    "SentenceEntities",
    "SentenceImages",
    "Tagger",
    "__version__",
    "load",
]
