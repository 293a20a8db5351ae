"""MODEL_CARD.md: what a person should know about a bundle."""

from __future__ import annotations

from typing import Any

from mmkg_sdk.families import FAMILIES

from .parity import ParityReport


def model_card(manifest: dict[str, Any], report: ParityReport) -> str:
    """The card as Markdown."""
    provenance, config = manifest["provenance"], manifest["config"]
    settings = "\n".join(f"| {name} | {value} |" for name, value in config.items())
    return f"""# {provenance["data"]} ({manifest["family"]}, {manifest["precision"]})

{FAMILIES[manifest["family"]]}.

Answers (head, relation, ?) and (?, relation, tail) over {config["num_entities"]:,} entities and
{config["num_relations"]:,} relations. Scores rank candidates within one query; higher is better; they are no
probabilities and not comparable between queries. Answers are guesses: check them before you rely on them.

Exported {provenance["exported"]} with mmkg_sdk {provenance["mmkg_sdk"]} from run `{provenance["run"]}`.

## Parity with float64 torch ({report.backend})

```
{report}
```

## Configuration

| setting | value |
| --- | --- |
{settings}
"""
