"""Reading a folder: which layout it has, its graph, its tokens, its descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DataError
from ..files.text import find_file
from ..registry import PUBLISHED_MODALITIES
from .entity_images import find_entity_images
from .features.files import further_features, read_feature_file, read_features, warn_of_unread
from .graph import DataSet, Features, RawTokens
from .layouts.descriptions import read_own_texts
from .layouts.mkgformer import read_mkgformer_layout, with_published_texts
from .layouts.mygo import ReadGraph, read_mygo_layout
from .layouts.names import NameTable
from .layouts.openke import read_openke_layout
from .layouts.triples import BY_ID, BY_NAME, is_mkgformer, triple_files
from .lookalikes import warn_of_lookalikes
from .places import Place, places_of
from .tokens.files import codebooks_in_use, further_tokens, read_tokens


def read_dataset(
    folder: Path,
    *,
    tokens: Path | None = None,
    visual: str | None = None,
    text: str | None = None,
) -> DataSet:
    """The data set in a folder of the MyGO, OpenKE, MKGformer or our own layout; text files may be .xz or .gz.

    Images of entities lie in its folder `images`, if there is one: see `find_entity_images`.

    Args:
        folder: the folder with the triples.
        tokens: the folder with token files and codebooks; None: the same folder, or one beside it (`places_of`).
        visual, text: tokenizer ("beit", "bert", ...) or token file name, needed only when several are there.

    Raises:
        DataError: if the layout is unknown or a file is malformed, with file and line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give a folder with train.txt (MyGO) or train2id.txt (OpenKE).")
    read = with_published_texts(_read_graph(folder), folder)
    for labels in (read.graph.entities, read.graph.relations):
        warn_of_lookalikes(labels, folder)
    places = places_of(folder)
    token_places = places if tokens is None else [Place(Path(tokens))]
    if not token_places[0].folder.is_dir():
        raise DataError(f"{tokens} is not a folder; the token files were to be there.")
    codebooks = codebooks_in_use([*token_places, *places])
    dataset = DataSet(
        graph=read.graph,
        tokens=_read_tokens(read.entities, token_places, {"visual": visual, "text": text}),
        features=_read_features(read.entities, [places] if tokens is None else [token_places, places], codebooks),
        descriptions=_descriptions(folder, read),
        entity_texts=read.entity_texts,
        relation_texts=read.relation_texts,
        source_ids=read.source_ids,
        other_names=read.other_names,
        unnumbered=tuple(table.labels.kind for table in (read.entities, read.relations) if not table.numbered),
    )
    warn_of_unread((folder, token_places[0].folder), codebooks)
    images = folder / "images"
    return replace(dataset, images=find_entity_images(images, dataset)) if images.is_dir() else dataset


def _read_graph(folder: Path) -> ReadGraph:
    found = triple_files(folder)
    if len(found) > 1:
        raise DataError(f"{folder} has {' and '.join(found)}, {len(found)} layouts. Keep the files of one.")
    if not found:
        raise DataError(f"{folder} has no triples; expected one of {', '.join((*BY_NAME, BY_ID))}.")
    if found == [BY_ID]:
        return read_openke_layout(folder)
    if found == ["train.tsv"] and is_mkgformer(folder):
        return read_mkgformer_layout(folder)
    return read_mygo_layout(folder, found[0].removeprefix("train."))


def _read_tokens(names: NameTable, places: Sequence[Place], choices: Mapping[str, str | None]) -> dict[str, RawTokens]:
    """The tokens of every modality."""
    found: dict[str, RawTokens] = {}
    for modality in (*PUBLISHED_MODALITIES, *further_tokens(places)):
        tokens = read_tokens(places, modality, names, choice=choices.get(modality))
        if tokens is not None:
            found[modality] = tokens
    return found


def _read_features(names: NameTable, searched: Sequence[Sequence[Place]], codebooks: set[Path]) -> dict[str, Features]:
    """The features of every modality; what is found in the first places is not looked for in the others."""
    found: dict[str, Features] = {}
    for places in searched:
        for modality in (*PUBLISHED_MODALITIES, *further_features(places)):
            features = None if modality in found else read_features(places, modality, names, codebooks)
            if features is not None:
                found[modality] = features
    return found


def _descriptions(folder: Path, read: ReadGraph) -> dict[str, str]:
    """Descriptions that came with the layout, overruled by those of descriptions.tsv."""
    path = find_file(folder, "descriptions.tsv")
    return read.descriptions if path is None else read.descriptions | _read_own(path, read.entities)


def read_descriptions(path: Path, dataset: DataSet) -> dict[str, str]:
    """Label -> text from a file of lines `label TAB text`; ids may stand for all the labels, where there are any.

    Raises:
        DataError: if a line is malformed or names an unknown entity.
    """
    return _read_own(path, _labels_and_ids(dataset))


def read_vectors(path: Path, modality: str, dataset: DataSet) -> Features:
    """The vectors of one file of any name: a matrix by row number, or one vector under each entity's label or id.

    Raises:
        DataError: it is malformed, has not one finite row per entity, or goes by row numbers where no list numbers the
            entities.
    """
    return read_feature_file(path, modality, _labels_and_ids(dataset))


def _labels_and_ids(dataset: DataSet) -> NameTable:
    entities = dataset.graph.entities
    numbered = entities.kind not in dataset.unnumbered
    ids = [[str(row) for row in range(len(entities))]] if numbered else []
    return NameTable(entities, *ids, numbered=numbered)


def _read_own(path: Path, names: NameTable) -> dict[str, str]:
    own = read_own_texts(path)
    rows = names.rows_of(own, str(path))
    return {names.labels[row]: text for row, text in zip(rows, own.values(), strict=True)}
