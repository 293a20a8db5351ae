"""How much of every modality a family finds in data, and what is said or refused where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import DataError
from ...registry import PUBLISHED_MODALITIES, ordered_modalities, said_modality
from ..features import files as feature_files
from ..graph import SPLITS, DataSet, RawTokens
from ..mentions import LinkingData
from ..modalities import modality_features
from ..open import AnyData
from ..sentences import RelationSentence, SentenceImages, TaggedSentence
from ..tokens import files as token_files


@dataclass(frozen=True)
class Coverage:
    """What a family finds of one modality in data.

    Attributes:
        modality: "image", "text" or a further one.
        count: entities, mentions and sentences that have it.
        called: what was looked for, in a few words: "image features".
        looked_for: files and folders that would hold it.
    """

    modality: str
    count: int
    called: str
    looked_for: str


def need_modalities(coverage: Sequence[Coverage], wanted: Iterable[str]) -> None:
    """Raise DataError unless there is something of every wanted modality ("image", "text", a further one)."""
    found = {one.modality: one for one in coverage}
    for name in wanted:
        if name not in found:
            raise DataError(f"cannot require {name!r}; expected one of {', '.join(found)}.")
        if not found[name].count:
            raise DataError(
                f"no {found[name].called} found, and {name} is required; looked for {found[name].looked_for}."
            )


def absence_remarks(coverage: Sequence[Coverage], data: AnyData) -> list[str]:
    """The line that says which modalities the data lack altogether; none where there is something of each."""
    left = (["structure"] if isinstance(data, DataSet) else []) + [one.modality for one in coverage if one.count]
    absent = [one for one in coverage if not one.count]
    if not absent:
        return []
    rest = " and ".join(left) + (" alone" if len(left) == 1 else "")
    called = " and no ".join(one.called for one in absent)
    return [f"no {called} found: training on {rest}; looked for {'; '.join(one.looked_for for one in absent)}."]


def token_coverage(dataset: DataSet) -> list[Coverage]:
    """How many entities have a token, by modality."""
    return [
        Coverage(
            said_modality(modality),
            _with_tokens(dataset.tokens.get(modality)),
            f"{said_modality(modality)} tokens",
            f"{token_files.looked_for(modality)} (`data tokenize` makes them)",
        )
        for modality in ordered_modalities({*PUBLISHED_MODALITIES, *dataset.tokens})
    ]


def feature_coverage(dataset: DataSet) -> list[Coverage]:
    """How many entities have a vector or a token, by modality."""
    return [
        Coverage(
            said_modality(modality),
            int(modality_features(dataset, modality).present.sum()),
            f"{said_modality(modality)} features",
            f"{feature_files.looked_for(modality)}, or tokens as {token_files.looked_for(modality)}",
        )
        for modality in dataset.modalities
    ]


def raw_coverage(data: AnyData) -> list[Coverage]:
    """How many entities, mentions or sentences have an image and a text."""
    if isinstance(data, DataSet):
        texts = {label for label, text in (data.entity_texts or data.descriptions).items() if text}
        return [
            Coverage("image", len(data.images), "image", "images/<label or published name>"),
            Coverage("text", len(texts), "text", "entity2text.txt, entity2textlong.txt, descriptions.tsv"),
        ]
    if isinstance(data, LinkingData):
        mentions = [mention for split in SPLITS for mention in data.split(split)]
        images = sum(image is not None for image in (*data.images, *(mention.image for mention in mentions)))
        return [
            Coverage("image", images, "image of a mention or an entity", "the files that the data name"),
            Coverage("text", len(mentions), "text", "the sentences of the mentions"),
        ]
    sentences: list[RelationSentence | TaggedSentence] = [one for split in SPLITS for one in data.split(split)]
    return [
        Coverage(
            "image",
            sum(one.images != SentenceImages() for one in sentences),
            "image of a sentence",
            "the files that the data name",
        ),
        Coverage("text", len(sentences), "text", "the words of the sentences"),
    ]


def _with_tokens(raw: RawTokens | None) -> int:
    return 0 if raw is None else sum(len(tokens) > 0 for tokens in raw.lists.values())
