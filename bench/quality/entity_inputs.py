"""What the entities of a bundle are encoded from, by modality, and changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.registry import ordered_modalities

Kind = Literal["tokens", "features"]
Values: TypeAlias = "NDArray[Any]"
Missing: TypeAlias = "NDArray[np.bool_]"


@dataclass(frozen=True)
class EntityInputs:
    """One row per entity.

    Attributes:
        kind: whether a modality is tokens or a vector.
        values: by modality int64 [entities, tokens] or float32 [entities, width].
        missing: by modality, True where there is none: bool [entities, tokens] or [entities].
    """

    bundle: Bundle
    kind: Kind
    values: Mapping[str, Values]
    missing: Mapping[str, Missing]

    @classmethod
    def of(cls, bundle: Bundle) -> EntityInputs:
        """Of the bundle as it is.

        Raises:
            QueryError: its entities are not encoded from tokens or features, or it is a part of a sharded one.
        """
        inputs = bundle.inputs if "inputs" in bundle.tensors else {}
        kinds: tuple[Kind, Kind] = ("tokens", "features")
        for kind in kinds:
            names = [name.removesuffix(f"_{kind}") for name in inputs if name.endswith(f"_{kind}")]
            if names:
                values = {name: inputs[f"{name}_{kind}"] for name in ordered_modalities(names)}
                missing = {name: inputs[f"{name}_mask"] for name in values}
                if kind == "features":
                    # Where a missing modality is zeros, the mask does not tell.
                    missing = {name: missing[name] | ~values[name].any(axis=1) for name in values}
                return cls(bundle, kind, values, missing)
        raise QueryError(
            f"{bundle.path} keeps no tokens or features of its entities, which is what is varied. Name a bundle of "
            "MyGO or AdaMF-MAT that is not sharded, or of entity linking."
        )

    def present(self, modality: str) -> NDArray[np.int64]:
        """The rows of entities that have a modality."""
        missing = self.missing[modality]
        return np.flatnonzero(~missing if missing.ndim == 1 else ~missing.all(axis=1))

    def batch(self) -> EntityBatch:
        """Checked, and missing modalities as the family has them."""
        given: dict[str, Any] = {self.kind: self.values, "masks": self.missing}
        structure = self.bundle.inputs["structure"]
        return contract.link_runtime(self.bundle.family).entity_batch(self.bundle, structure=structure, **given)

    def with_modality(self, name: str, values: Values, missing: Missing) -> EntityInputs:
        """Another modality in place of its own."""
        return replace(self, values={**self.values, name: values}, missing={**self.missing, name: missing})

    def dropped(self, modality: str, rows: NDArray[np.int64]) -> EntityInputs:
        """Some entities lack a modality."""
        missing = self.missing[modality].copy()
        missing[rows] = True
        return self.with_modality(modality, self.values[modality], missing)

    def exchanged(self, modality: str, rows: NDArray[np.int64]) -> EntityInputs:
        """Each of some entities has what the next of them had."""
        values, missing = self.values[modality].copy(), self.missing[modality].copy()
        values[rows], missing[rows] = values[np.roll(rows, 1)], missing[np.roll(rows, 1)]
        return self.with_modality(modality, values, missing)


def some_rows(rows: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """A share of them in random order; those of a smaller share are among those of a larger one."""
    order = np.random.default_rng(seed).permutation(rows)
    return order[: round(share * len(rows))]
