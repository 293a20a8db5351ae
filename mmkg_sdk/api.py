"""The public names of `mmkg_sdk`, which loads this module when the first of them is asked for."""

from __future__ import annotations

from .answering.answers.entities import Entity, FoundEntities, SentenceEntities
from .answering.answers.link_explanation import LinkExplanation
from .answering.answers.links import Link, Links
from .answering.answers.predictions import Predictions, Ranking
from .answering.answers.relations import ExtractedRelation, ExtractedRelations
from .answering.answers.sentence_explanation import ImageWeights, SentenceExplanation
from .answering.entity_linking import Linker
from .answering.entity_recognition import Tagger
from .answering.link_prediction import Model
from .answering.opening import load
from .answering.relation_extraction import Extractor, RelationMention
from .data.mentions import Mention
from .data.sentences import SentenceImages
from .errors import BackendError, BundleError, DataError, ExportError, MmkgError, QueryError
from .families.explained import EntityExplanation, QueryExplanation, TokenWeight

__all__ = [
    "BackendError",
    "BundleError",
    "DataError",
    "Entity",
    "EntityExplanation",
    "ExportError",
    "ExtractedRelation",
    "ExtractedRelations",
    "Extractor",
    "FoundEntities",
    "ImageWeights",
    "Link",
    "LinkExplanation",
    "Linker",
    "Links",
    "Mention",
    "MmkgError",
    "Model",
    "Predictions",
    "QueryError",
    "QueryExplanation",
    "Ranking",
    "RelationMention",
    "SentenceEntities",
    "SentenceExplanation",
    "SentenceImages",
    "Tagger",
    "TokenWeight",
    "load",
]
