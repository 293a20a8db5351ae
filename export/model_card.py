"""MODEL_CARD.md: what a person should know about a bundle."""

from __future__ import annotations

from typing import Any

from mmkg_sdk.bundle.config import read_config
from mmkg_sdk.registry import (
    ENTITY_LINKING,
    ENTITY_RECOGNITION,
    FAMILIES,
    LINK_PREDICTION,
    RELATION_EXTRACTION,
)

from .parity import ParityReport

# By task, what the model answers and what its scores say.
_ANSWERS = {
    LINK_PREDICTION: """\
Answers (head, relation, ?) and (?, relation, tail) over {num_entities:,} entities and
{num_relations:,} relations. Scores rank candidates within one query; higher is better; they are no
probabilities and not comparable between queries.""",
    ENTITY_LINKING: """\
Answers which entity a mention in a sentence means, with or without an image. It reads the first {text_length} tokens
of mention and sentence. Scores rank entities for one mention; higher is better; they are no probabilities and not
comparable between mentions.""",
    RELATION_EXTRACTION: """\
Answers which of {num_labels} relations holds between two spans of a sentence, with or without crops of an image. It
reads sentences of up to {max_length} word pieces, markers included. Scores are the model's probabilities; how often
they are right was not checked.""",
    ENTITY_RECOGNITION: """\
Answers which words of a sentence name entities, and of which kind, with or without crops of an image. It reads the
first {max_length} word pieces, two of which stand around the sentence.""",
}


def model_card(manifest: dict[str, Any], report: ParityReport) -> str:
    """The card as Markdown."""
    provenance, config = manifest["provenance"], manifest["config"]
    task = read_config(manifest["family"], config).task
    settings = "\n".join(f"| {name} | {value} |" for name, value in config.items())
    return f"""# {provenance["data"]} ({manifest["family"]}, {manifest["precision"]})

{FAMILIES[manifest["family"]]}.

{_ANSWERS[task].format(**config)} Answers are guesses: check them before you rely on them.

Exported {provenance["exported"]} with mmkg_sdk {provenance["mmkg_sdk"]} from run `{provenance["run"]}`.

## Parity with float64 torch ({report.backend})

```
{report}
```

A row with a limit is judged, and no bundle is written that goes beyond it. Rows without one are reported: how many
queries have other best answers, or the same in another order. "Beyond the tolerance" counts only what errors within the
limit of the scores cannot explain.

## Configuration

| setting | value |
| --- | --- |
{settings}
"""
