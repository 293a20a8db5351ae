"""What the bundle of a model holds, as its family says: labels, tensors, graphs, other files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SPLITS = ("train", "valid", "test")
# In every bundle, whatever its family.
WEIGHTS, PROBES = "weights.safetensors", "probes.safetensors"
COMMON_FILES = (WEIGHTS, PROBES, "parity.json", "MODEL_CARD.md")
# The index of a link prediction bundle's triples, which older ones lack.
KNOWN_TRIPLES = "known_triples"


@dataclass(frozen=True)
class Stored:
    """Dtype and shape of a stored tensor; None = any size of at least 1 (0 along the first axis).

    `mapped` tensors, and those in a file with them, stay on the disk and are read as they are needed.
    """

    dtype: str
    shape: tuple[int | None, ...]
    mapped: bool = False


@dataclass(frozen=True)
class Contents:
    """The closed list of what a bundle holds besides COMMON_FILES.

    Attributes:
        labels: NAME.txt -> number of labels; None = any, where no size of the model depends on it.
        tensors: NAME.safetensors -> the tensors in it by name.
        graphs: NAME.onnx; the first one is what every query needs, and is opened with the bundle.
        others: further file names.
        younger: those of the tensors that bundles of earlier versions lack.
        optional: further file names, of which some bundles have none.
        encoding: those of tensors and graphs that encode entities, or need all of the table; no shard has them.
        scoring: those of the graphs that score rows of the table.
        common: what stands there whatever the family.
    """

    labels: Mapping[str, int | None]
    tensors: Mapping[str, Mapping[str, Stored]]
    graphs: tuple[str, ...]
    others: tuple[str, ...] = field(default=())
    younger: tuple[str, ...] = field(default=())
    optional: tuple[str, ...] = field(default=())
    encoding: tuple[str, ...] = field(default=())
    scoring: tuple[str, ...] = field(default=())
    common: tuple[str, ...] = field(default=COMMON_FILES)

    @property
    def files(self) -> tuple[str, ...]:
        """All file names of the bundle except bundle.json."""
        return (
            *(f"{name}.txt" for name in self.labels),
            *(f"{name}.safetensors" for name in self.tensors),
            *(f"{name}.onnx" for name in self.graphs),
            *self.others,
            *self.optional,
            *self.common,
        )

    @property
    def files_that_may_lack(self) -> set[str]:
        """Those of `files` that a bundle need not have."""
        return {*self.optional, *(f"{name}.safetensors" for name in self.younger)}

    @property
    def mapped_files(self) -> set[str]:
        """Those that stay on the disk and are read as they are needed."""
        mapped = {name for name, specs in self.tensors.items() if any(spec.mapped for spec in specs.values())}
        return {WEIGHTS, *(f"{name}.safetensors" for name in mapped)}


def link_prediction_contents(
    num_entities: int,
    num_relations: int,
    *,
    table: Mapping[str, Stored],
    inputs: Mapping[str, Stored],
    graphs: tuple[str, ...],
    encoding: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
) -> Contents:
    """What every bundle that answers (head, relation, ?) holds: labels, known triples, table, encoder inputs.

    Args:
        table, inputs: the tensors of table.safetensors and inputs.safetensors, one row per entity.
        encoding, optional: see Contents.
    """
    return Contents(
        labels={"entities": num_entities, "relations": num_relations},
        tensors={
            "table": table,
            "inputs": inputs,
            "triples": {split: Stored("int64", (None, 3)) for split in SPLITS},
            KNOWN_TRIPLES: {name: Stored("int64", (None,)) for name in ("keys", "offsets", "answers")},
        },
        graphs=graphs,
        younger=(KNOWN_TRIPLES,),
        encoding=encoding,
        optional=optional,
    )
