"""Questions to a bundle as JSON, and its answers as JSON: what is kept beside a released bundle."""

from __future__ import annotations

from typing import Any

import mmkg_sdk
from mmkg_sdk.answering.opening import Answerer


def ask(opened: Answerer, question: dict[str, Any]) -> dict[str, Any]:
    """The answer as "exact", what stays equal for ever, and "scores", which differ by rounding from CPU to CPU."""
    if isinstance(opened, mmkg_sdk.Model):
        (ranking,) = getattr(opened, question["call"])(*question["of"], k=question["k"])
        return {"exact": [ranking.ids.tolist(), list(ranking.labels)], "scores": ranking.scores.tolist()}
    if isinstance(opened, mmkg_sdk.Linker):
        (link,) = opened.link_mentions([mmkg_sdk.Mention(question["mention"], question["sentence"])], k=question["k"])
        return {"exact": [link.ids.tolist(), list(link.labels)], "scores": link.scores.tolist()}
    if isinstance(opened, mmkg_sdk.Extractor):
        mention = mmkg_sdk.RelationMention(question["sentence"], tuple(question["head"]), tuple(question["tail"]))
        (found,) = opened.extract_relations([mention])
        labels, scores = zip(*found.ranked(), strict=True)
        return {"exact": list(labels), "scores": list(scores)}
    (tagged,) = opened.tag([question["sentence"]])
    entities = [[entity.kind, list(entity.words), entity.text] for entity in tagged]
    return {"exact": [tagged.words_read, entities], "scores": []}
