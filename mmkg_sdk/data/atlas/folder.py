"""The atlas as a raw data set folder, the layout in which any other data set may be brought along too."""

from __future__ import annotations

from pathlib import Path

from ...files.folders import new_folder
from ..folders import DATA_SET
from ..graph import SPLITS
from .flags import draw_flag, flag_countries
from .graph import atlas_descriptions, atlas_graph


def write_atlas(folder: Path) -> None:
    """Writes the atlas into a new folder, which appears only when it is complete.

    entities.txt, relations.txt: one label per line, UTF-8; train.txt, valid.txt, test.txt: head, relation and
    tail labels with tabs between them; descriptions.tsv: label, tab, sentence; images/<label>.png: the flags
    (96 x 64 pixels, RGB) of the countries that have one.

    Raises:
        DataError: if the folder already holds something, or cannot be made.
        BackendError: if Pillow is not installed.
    """
    with new_folder(folder, DATA_SET) as temporary:
        _write(temporary)


def _write(folder: Path) -> None:
    graph = atlas_graph()
    images = folder / "images"
    images.mkdir()
    _write_lines(folder / "entities.txt", list(graph.entities))
    _write_lines(folder / "relations.txt", list(graph.relations))
    for split in SPLITS:
        triples = graph.split(split).tolist()
        lines = ["\t".join((graph.entities[h], graph.relations[r], graph.entities[t])) for h, r, t in triples]
        _write_lines(folder / f"{split}.txt", lines)
    _write_lines(folder / "descriptions.tsv", ["\t".join(pair) for pair in atlas_descriptions().items()])
    for country in flag_countries():
        draw_flag(country).save(images / f"{country}.png", optimize=True)


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
