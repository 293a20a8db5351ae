"""Which modules fulfil contract.py, runtimes.py and measuring.py: mypy reads it and names what a family lacks.

Nothing runs here. Whoever adds a family adds a function.
"""

from __future__ import annotations

from .contract import (
    CheckpointPart,
    ConfigPart,
    GraphsPart,
    InputsPart,
    LinkConfig,
    LinkGraphs,
    LinkingConfig,
    LinkingScoring,
    LinkScoring,
    ModelPart,
    ObjectivePart,
    SentenceConfig,
    SentenceScoring,
)
from .measuring import Measuring
from .runtimes import LinkingRuntime, LinkRuntime, SentenceRuntime


def _trained(
    config: ConfigPart,
    model: ModelPart,
    objective: ObjectivePart,
    checkpoint: CheckpointPart,
    inputs: InputsPart,
    graphs: GraphsPart,
    measuring: Measuring,
) -> None: ...


def _completes_links(
    config: type[LinkConfig], graphs: LinkGraphs, scoring: LinkScoring, runtime: LinkRuntime
) -> None: ...


def _links_mentions(config: type[LinkingConfig], scoring: LinkingScoring, runtime: LinkingRuntime) -> None: ...


def _reads_sentences(config: type[SentenceConfig], scoring: SentenceScoring, runtime: SentenceRuntime) -> None: ...


def _mygo() -> None:
    from .mygo import checkpoint, config, graphs, inputs, measuring, model, objective, runtime, scoring

    _trained(config, model, objective, checkpoint, inputs, graphs, measuring)
    _completes_links(config.Config, graphs, scoring, runtime)


def _adamf_mat() -> None:
    from .adamf_mat import checkpoint, config, graphs, inputs, measuring, model, objective, runtime, scoring

    _trained(config, model, objective, checkpoint, inputs, graphs, measuring)
    _completes_links(config.Config, graphs, scoring, runtime)


def _mimic() -> None:
    from .mimic import checkpoint, config, graphs, inputs, measuring, model, objective, runtime, scoring

    _trained(config, model, objective, checkpoint, inputs, graphs, measuring)
    _links_mentions(config.Config, scoring, runtime)


def _mkgformer() -> None:
    from .mkgformer import checkpoint, config, graphs, inputs, measuring, model, objective, runtime, scoring

    _trained(config, model, objective, checkpoint, inputs, graphs, measuring)
    _completes_links(config.Config, graphs, scoring, runtime)
    _reads_sentences(config.Config, scoring, runtime)
