"""The data set of a variant: its pictures chosen, and tokenized where the family reads tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_kind
from mmkg_sdk.data.tokens.tokenize import tokenize_dataset
from mmkg_sdk.data.write import write_dataset
from mmkg_sdk.errors import DataError

from .variants import Variant

Pictures = Mapping[str, Sequence[Path]]


def entity_pictures(dataset: DataSet, images: Path | None) -> Pictures:
    """Entity label -> its pictures, of a folder or else of the data set itself.

    Raises:
        DataError: there are none.
    """
    files = dict(dataset.images) if images is None else find_entity_images(images, dataset)
    if not files:
        raise DataError(
            f"{dataset.graph.name} has no pictures; expected some in its folder `images`, or, for families that read "
            "tokens, in --images DIR."
        )
    return files


def tokenized(source: str, images: Path | None, variant: Variant, work: Path) -> Path:
    """The folder of a data set with the tokens that a variant reads, made once for all that read the same.

    Args:
        source: as `open_data` takes it.
        images: a folder of pictures of the entities, as `mmkg-sdk data tokenize --images` takes it; None: those of the
            source.
        work: where folders are made.

    Raises:
        DataError: the source is no knowledge graph, or there are no pictures.
    """
    made = work / f"data-{variant.image_model}-{variant.pictures or 'all'}"
    if not made.exists():
        dataset = open_kind(source, DataSet)
        files = entity_pictures(dataset, images)
        files = {label: pictures[: variant.pictures] for label, pictures in files.items()}
        write_dataset(tokenize_dataset(dataset, images=files, image_model=variant.image_model), made)
    return made
