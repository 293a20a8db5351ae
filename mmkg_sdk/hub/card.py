"""README.md of a repository: metadata as the Hub reads it, then the bundle's own card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..bundle import Bundle
from ..errors import ExportError
from ..registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION
from .client import hub_errors

# How the metrics of each task are counted; evaluation/ holds the code.
_PROTOCOLS = {
    LINK_PREDICTION: "head and tail queries against all entities; other known answers of all splits lose {penalty} "
    "points; ties: {ties}",
    ENTITY_LINKING: "every mention against all entities; ties: stable",
    RELATION_EXTRACTION: "accuracy over all sentences; micro-averages over all relations but the negative class",
    ENTITY_RECOGNITION: "micro-averages over whole entities, as seqeval counts them by default",
}


def repository_card(
    bundle: Bundle,
    repository: str,
    license: str,
    datasets: Sequence[str],
    evaluations: Sequence[Mapping[str, Any]],
) -> str:
    """The card as Markdown with a block of YAML before it.

    Args:
        evaluations: what `mmkg-sdk evaluate BUNDLE --json` printed.

    Raises:
        ExportError: an evaluation is none.
    """
    with hub_errors(ExportError, f"the card of {repository}"):
        from huggingface_hub import ModelCardData

        data = ModelCardData(
            library_name="mmkg_sdk",
            license=license,
            datasets=list(datasets) or None,
            tags=["knowledge-graph", "onnx", bundle.family, bundle.config.task],
            model_name=repository.rpartition("/")[2],
            eval_results=[result for one in evaluations for result in _results(bundle, one, datasets)] or None,
        )
        own = bytes(bundle.files["MODEL_CARD.md"]).decode("utf-8")
        return f"---\n{data.to_yaml().strip()}\n---\n\n{_usage(repository)}\n{own}"


def _usage(repository: str) -> str:
    return f"""```python
import mmkg_sdk  # pip install 'mmkg_sdk[cpu,hub]'

model = mmkg_sdk.load("{repository}", revision="...")  # a commit of this repository
```
"""


def _results(bundle: Bundle, evaluation: Mapping[str, Any], datasets: Sequence[str]) -> list[Any]:
    """One result for each metric: a share between 0 and 1, or a mean rank."""
    from huggingface_hub import EvalResult

    split = evaluation.get("split") if isinstance(evaluation, Mapping) else None
    numbers = {} if split is None else {name: value for name, value in evaluation.items() if type(value) is float}
    if not isinstance(split, str) or not numbers:
        raise ExportError(
            f"{str(evaluation)[:120]!r} is no evaluation; expected what `mmkg-sdk evaluate BUNDLE --json` prints."
        )
    task, data = bundle.config.task, str(bundle.manifest["provenance"]["data"])
    protocol, rule = _PROTOCOLS[task], getattr(bundle.config, "protocol", None)
    if task == LINK_PREDICTION and rule is not None:
        protocol = protocol.format(ties=rule.ties, penalty=rule.known_answer_penalty)
    counts = {name: value for name, value in evaluation.items() if type(value) is int}
    return [
        EvalResult(
            task_type=task,
            dataset_type=datasets[0] if datasets else data,
            dataset_name=data,
            dataset_split=split,
            metric_type=name,
            metric_value=value,
            metric_args={"protocol": protocol, **counts},
        )
        for name, value in numbers.items()
    ]
