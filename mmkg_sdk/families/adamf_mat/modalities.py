"""The modalities that the fusion mixes, in their order behind structure: visual, text, then further ones by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...bundle.config import check_numbers
from ...registry import PUBLISHED_MODALITIES, check_further_modality

# What an official checkpoint calls modalities in the names of their weights; further ones have one name.
_SHORT = {"visual": "img"}


@dataclass(frozen=True)
class FeatureModality:
    """One modality: its name, and how many numbers its features have."""

    name: str
    feature_width: int

    def __post_init__(self) -> None:
        if self.name not in PUBLISHED_MODALITIES:
            check_further_modality(self.name)
        check_numbers(self, f"{self.name}: ")

    @property
    def short_name(self) -> str:
        """In the names of weights."""
        return _SHORT.get(self.name, self.name)

    @property
    def graph_name(self) -> str:
        """In the names of a graph's weights; that of a further one cannot be a name that every module has."""
        return self.name if self.name in PUBLISHED_MODALITIES else f"{self.name}_modality"


def mask_names(modalities: Iterable[FeatureModality]) -> tuple[str, ...]:
    """What a model is built with: NAME_mask of each."""
    return tuple(f"{modality.name}_mask" for modality in modalities)
