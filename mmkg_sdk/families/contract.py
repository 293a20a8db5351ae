"""What a family owes the SDK, by file of its folder, as Protocols that its modules fulfil.

    runtime = contract.link_runtime("mygo")  # families/mygo/runtime.py, with the types of `LinkRuntime`

The functions at the end are the way from the SDK to a family; nothing of a family is imported before it is asked for,
and `config` and `runtime` come without torch. What runtime.py owes stands in runtimes.py, what measuring.py owes in
measuring.py. fulfilled.py is where mypy compares the modules with the Protocols.

Configurations and torch models go back to the family that made them, so they are `Any` in arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..registry import family_part
from .runtimes import LinkingRuntime, LinkRuntime, SentenceRuntime

if TYPE_CHECKING:  # types alone, so that answering loads nothing that training and importing need
    import torch
    from torch import Tensor, nn

    from ..bundle.config import FamilyConfig
    from ..bundle.graph_specs import GraphSpec
    from ..data.inspection.coverage import Coverage
    from ..data.open import AnyData
    from ..ranking.exact import RankingProtocol
    from ..ranking.scores import CandidateScore
    from ..run import Run, RunData
    from .link_prediction import LinkScorer
    from .objective import TrainingObjective

Arrays = dict[str, NDArray[Any]]


# ---- config.py: what one model is ----------------------------------------------------------------------------------


class ConfigPart(Protocol):
    """config.py."""

    @property
    def Config(self) -> type[FamilyConfig]:
        """The configuration class; its fields are the settings."""
        ...

    @property
    def PRESETS(self) -> dict[str, dict[str, Any]]:
        """Settings of model and training by name; one named like a data set is taken for that."""
        ...

    @property
    def EMBEDDED_DATA(self) -> tuple[str, ...]:
        """The embedded data sets that the quickstart trains on, one for each task."""
        ...

    @property
    def READS_TOKENS(self) -> bool:
        """Whether it learns from tokens or features that are made of texts and images before training."""
        ...


class LinkConfig(Protocol):
    """What link prediction reads of a configuration."""

    @property
    def table_width(self) -> int: ...
    @property
    def candidate_score(self) -> CandidateScore: ...
    @property
    def protocol(self) -> RankingProtocol: ...


class LinkingConfig(Protocol):
    """What entity linking reads of a configuration."""

    @property
    def text_length(self) -> int: ...
    @property
    def vocabulary_size(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    @property
    def entity_dtype(self) -> str: ...


class SentenceConfig(Protocol):
    """What the sentence tasks read of a configuration."""

    @property
    def max_length(self) -> int: ...
    @property
    def vocabulary_size(self) -> int: ...
    @property
    def num_token_types(self) -> int: ...
    @property
    def visual_tokens(self) -> int: ...
    @property
    def hidden_dim(self) -> int: ...
    @property
    def num_aux_images(self) -> int | None: ...
    @property
    def num_rcnn_images(self) -> int | None: ...
    @property
    def aux_image_size(self) -> int: ...
    @property
    def rcnn_image_size(self) -> int: ...
    @property
    def whole_as_crop(self) -> bool: ...


# ---- model.py, objective.py, checkpoint.py, inputs.py: training and importing, with torch --------------------------


class ModelPart(Protocol):
    """model.py."""

    def build(self, config: dict[str, Any], inputs: Mapping[str, NDArray[Any]]) -> nn.Module:
        """The model of a run's configuration and inputs, with fresh weights; it has the configuration as `config`."""
        ...


class ObjectivePart(Protocol):
    """objective.py."""

    def objective_of(self, run: Run, model: Any) -> TrainingObjective:
        """What training minimises."""
        ...


class CheckpointPart(Protocol):
    """checkpoint.py: the authors' checkpoint."""

    @property
    def UNTOLD_SETTINGS(self) -> Mapping[str, str]:
        """Settings that no tensor tells, with the published values in words."""
        ...

    def read_checkpoint(self, path: Path) -> dict[str, Tensor]:
        """The weights by the model's names. Raises ExportError: damaged, with code, or of another family."""
        ...

    def config_from_checkpoint(self, state: dict[str, Tensor], **settings: Any) -> FamilyConfig:
        """The configuration that the shapes tell, and the given settings."""
        ...

    def check_state(self, state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
        """Whether names and shapes are those of the model. Raises ExportError."""
        ...

    def official_settings(self, options: dict[str, Any]) -> dict[str, Any]:
        """Our settings from the authors' option names."""
        ...


class InputsPart(Protocol):
    """inputs.py: from a data set to what a run holds."""

    def config_for(self, dataset: AnyData, settings: Mapping[str, Any]) -> FamilyConfig:
        """The configuration: sizes from the data, the rest from settings."""
        ...

    def run_data(self, dataset: AnyData, config: Any) -> RunData:
        """Labels, arrays and files."""
        ...

    def coverage(self, dataset: AnyData) -> list[Coverage]:
        """What it finds of images and texts in a data set that fits the family."""
        ...

    def initial_weights(self, dataset: AnyData, config: Any) -> Mapping[str, NDArray[Any]]:
        """Weights that do not come from chance, by parameter name."""
        ...

    def missing_modalities(self, dataset: AnyData, data: RunData, state: dict[str, Tensor]) -> dict[str, str]:
        """What a data set lacks of what a checkpoint was trained with, by "image" or "text", and where it comes from.

        `data` is what `run_data` made of it. Raises ExportError: the data set has it, but contradicts the checkpoint.
        """
        ...

    def stored_data(self, fields: Mapping[str, NDArray[Any]], path: Path, config: Any) -> RunData:
        """Labels, arrays and files from the authors' tensors. Raises ExportError."""
        ...

    def check_data(self, data: RunData, config: Any) -> None:
        """Whether data fit a configuration. Raises ExportError."""
        ...


# ---- graphs.py: what is exported -----------------------------------------------------------------------------------


class GraphsPart(Protocol):
    """graphs.py."""

    def graph_specs(self, config: Any) -> dict[str, GraphSpec]:
        """The signature of every graph of the bundle."""
        ...

    def graph_modules(self, model: Any, dtype: torch.dtype) -> dict[str, nn.Module]:
        """The modules to export by graph name; `dtype` is that of the weights that are multiplied."""
        ...

    def load_modules(self, config: Any, precision: str, weights: dict[str, Tensor]) -> dict[str, nn.Module]:
        """The modules of a bundle from its weights named GRAPH.WEIGHT. Raises RuntimeError where they do not fit."""
        ...


class LinkGraphs(GraphsPart, Protocol):
    """graphs.py of link prediction."""

    def encoded_entities(self, model: Any) -> dict[str, Tensor]:
        """What the entity side gives: "vectors" [entities, width], and what else is kept, one row per entity."""
        ...

    def bundle_tensors(self, run: Run, model: Any) -> dict[str, Arrays]:
        """The tensor files of a bundle besides table and triples."""
        ...

    def graph_cases(self, run: Run, model: Any) -> dict[str, tuple[Arrays, Arrays]]:
        """Inputs and expected outputs of graphs that neither entities nor queries prove."""
        ...


# ---- scoring.py: how a run's torch model answers, for evaluation and parity ----------------------------------------


class LinkScoring(Protocol):
    """scoring.py of link prediction."""

    def scorer(self, model: Any, run: Run) -> LinkScorer:
        """Scores of all entities for a chunk of queries; the model is left in eval mode."""
        ...


class LinkingScoring(Protocol):
    """scoring.py of entity linking."""

    def scorer(self, model: Any, run: Run) -> Callable[[str, slice], Tensor]:
        """From a split and some of its rows to the scores of all entities, float32 [rows, entities], on its device."""
        ...

    def entity_pieces(self, model: Any, run: Run) -> Iterator[dict[str, NDArray[np.float32]]]:
        """The pieces of all entities, some at a time."""
        ...

    def reference_scores(
        self, model: Any, run: Run, split: str, mentions: NDArray[np.int64], entities: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Scores by unit, float64 [mentions, entities], by the model as published."""
        ...

    def token_inputs(self, run: Run, split: str, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """The arguments of `Linker.encode_tokens` for some mentions."""
        ...


class SentenceScoring(Protocol):
    """scoring.py of the sentence tasks. `texts` and `images` are inputs of graphs by name."""

    def relation_scores(self, model: Any, run: Run, split: str, count: int) -> NDArray[np.floating]:
        """Scores of all relations for the first sentences of a split, [count, relations]."""
        ...

    def relation_scores_of(
        self, model: Any, texts: Mapping[str, NDArray[Any]], images: Mapping[str, NDArray[Any]]
    ) -> NDArray[Any]:
        """Scores of all relations, [n, relations], in the model's own dtype."""
        ...

    def tag_scores(self, model: Any, run: Run, split: str, count: int) -> NDArray[np.int64]:
        """Tags of the first sentences of a split, [count, max_length], -1 on padding."""
        ...

    def tag_scores_of(
        self, model: Any, texts: Mapping[str, NDArray[Any]], images: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Tags [n, max_length], and the emissions that they come from."""
        ...

    def path_scores(
        self, model: Any, emissions: NDArray[np.float64], tags: NDArray[np.int64], mask: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """What the tags of each sentence score together, [n]."""
        ...

    def image_inputs(self, run: Run, split: str, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """The arguments of `encode_images` for the images of some sentences."""
        ...


# ---- the way to a family -------------------------------------------------------------------------------------------


def config_part(family: str) -> ConfigPart:
    return cast(ConfigPart, family_part(family, "config"))


def model_part(family: str) -> ModelPart:
    return cast(ModelPart, family_part(family, "model"))


def objective_part(family: str) -> ObjectivePart:
    return cast(ObjectivePart, family_part(family, "objective"))


def checkpoint_part(family: str) -> CheckpointPart:
    return cast(CheckpointPart, family_part(family, "checkpoint"))


def inputs_part(family: str) -> InputsPart:
    return cast(InputsPart, family_part(family, "inputs"))


def graphs_part(family: str) -> GraphsPart:
    return cast(GraphsPart, family_part(family, "graphs"))


def link_graphs(family: str) -> LinkGraphs:
    return cast(LinkGraphs, family_part(family, "graphs"))


def link_scoring(family: str) -> LinkScoring:
    return cast(LinkScoring, family_part(family, "scoring"))


def linking_scoring(family: str) -> LinkingScoring:
    return cast(LinkingScoring, family_part(family, "scoring"))


def sentence_scoring(family: str) -> SentenceScoring:
    return cast(SentenceScoring, family_part(family, "scoring"))


def link_runtime(family: str) -> LinkRuntime:
    return cast(LinkRuntime, family_part(family, "runtime"))


def linking_runtime(family: str) -> LinkingRuntime:
    return cast(LinkingRuntime, family_part(family, "runtime"))


def sentence_runtime(family: str) -> SentenceRuntime:
    return cast(SentenceRuntime, family_part(family, "runtime"))


def link_config(config: FamilyConfig) -> LinkConfig:
    return cast("LinkConfig", config)


def linking_config(config: FamilyConfig) -> LinkingConfig:
    return cast("LinkingConfig", config)


def sentence_config(config: FamilyConfig) -> SentenceConfig:
    return cast("SentenceConfig", config)
