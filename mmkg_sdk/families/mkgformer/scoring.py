"""How the torch model answers, for each task: what evaluation measures and export is held against."""

from .links.scoring import scorer
from .sentences.scoring import image_inputs, path_scores, relation_scores, relation_scores_of, tag_scores, tag_scores_of

__all__ = [
    "image_inputs",
    "path_scores",
    "relation_scores",
    "relation_scores_of",
    "scorer",
    "tag_scores",
    "tag_scores_of",
]
