"""`mmkg-sdk data`: fetch, inspect and tokenize data sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..completion import data_sets
from ..options import named_files, print_json

# More of them go on a line each.
_MOST_ON_A_LINE = 9

as_json = click.option("--json", "as_json", is_flag=True, help="Print the answer as one JSON object.")
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Cache folder. Default: $MMKG_CACHE, else ~/.cache/mmkg_sdk.",
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that reads a data set; they arrive as the keywords of `open_dataset`."""
    options = (
        click.option(
            "--tokens",
            type=click.Path(path_type=Path),
            help="Folder of token files and codebooks. Default: the data set's own folder.",
        ),
        click.option("--visual", help="Visual tokenizer or token file, when there are several."),
        click.option("--text", help="Text tokenizer or token file, when there are several."),
        cache_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def data() -> None:
    """Fetch, inspect and tokenize data sets."""


@data.command("fetch")
@click.argument("name", shell_complete=data_sets)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Take the files from this folder (plain, .xz or .gz) instead of the network.",
)
@cache_option
@as_json
def fetch_command(name: str, source: Path | None, cache: Path | None, as_json: bool) -> None:
    """Bring the public data set NAME (db15k, mkg-w, mkg-y) into the cache; hashes are checked."""
    from ...data.registry import fetch

    folder = fetch(name, cache=cache, source=source)
    _answer({"name": name, "folder": str(folder)}, str(folder), as_json)


@data.command("inspect")
@click.argument("source", shell_complete=data_sets)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of the images of mentions or sentences. Default: the data set's own folder.",
)
@reading_options
@as_json
def inspect_command(source: str, as_json: bool, **reading: Any) -> None:
    """Describe the data set SOURCE, a folder or a name.

    Names: atlas, atlas-mentions, atlas-relations, atlas-tags, and what was fetched. A knowledge graph, mentions of
    entities, sentences with relations and sentences with tags are told apart by the files of the folder.
    """
    from ...data.inspection.summary import summarize
    from ...data.open import open_data

    summary = summarize(open_data(source, **reading))
    _answer(summary, _table(summary), as_json)


@data.command("tokenize")
@click.argument("source", shell_complete=data_sets)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder for the tokenized data set.")
@click.option(
    "--text-model",
    default="learned",
    show_default=True,
    help="`learned`, or a transformers language model by name or folder.",
)
@click.option(
    "--image-model",
    default="learned",
    show_default=True,
    help="`learned` (patches of colour), `learned-views` (outline and colour of the whole and of parts), or a "
    "transformers VQ model by name or folder.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of images: <label>.png, <id>.png or <label>/*.png. Default: SOURCE/images, if there.",
)
@click.option(
    "--texts",
    "named_texts",
    multiple=True,
    metavar="[NAME=]FILE",
    help="File of lines `label TAB text`. Default: the descriptions in SOURCE. With NAME=, a further modality of that "
    "name. Repeatable.",
)
@click.option(
    "--features",
    "named_features",
    multiple=True,
    metavar="NAME=FILE",
    help="Modality NAME from a matrix with a row per entity: tokens of a codebook learned from it, and features. "
    "Repeatable.",
)
@click.option("--parts", default=8, show_default=True, help="Tokens of an entity in each of --features.")
@reading_options
@as_json
def tokenize_command(
    source: str,
    out: Path,
    text_model: str,
    image_model: str,
    images: Path | None,
    named_texts: tuple[str, ...],
    named_features: tuple[str, ...],
    parts: int,
    as_json: bool,
    **reading: Any,
) -> None:
    """Turn descriptions, images and features of the data set SOURCE into tokens and write it to a new folder."""
    from ...data.inspection.summary import summarize
    from ...data.open import raw_dataset
    from ...data.readers import read_descriptions, read_vectors
    from ...data.tokens.tokenize import tokenize_dataset
    from ...data.write import write_dataset

    with raw_dataset(source, **reading) as (dataset, own_images):
        texts = {name: read_descriptions(path, dataset) for name, path in named_files(named_texts, "text").items()}
        if "text" in texts:
            dataset = dataclasses.replace(dataset, descriptions=texts.pop("text"))
        tokenized = tokenize_dataset(
            dataset,
            images=images or own_images,
            text_model=text_model,
            image_model=image_model,
            texts=texts,
            features={name: read_vectors(path, name, dataset) for name, path in named_files(named_features).items()},
            parts=parts,
        )
        write_dataset(tokenized, out)
    summary = summarize(tokenized) | {"folder": str(out)}
    _answer(summary, _table(summary), as_json)


def _answer(values: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        click.echo(text)


def _table(summary: dict[str, Any]) -> str:
    lines = []
    for key, value in summary.items():
        if isinstance(value, dict) and len(value) > _MOST_ON_A_LINE:
            lines.append(key)
            lines.extend(f"{_number(item):>12}  {inner}" for inner, item in value.items())
        elif isinstance(value, list):
            lines.extend([key, *(f"  {sentence}" for sentence in value)] if value else [])
        else:
            lines.append(f"{key:<25} {_shown(value)}")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{inner} {_number(item)}" for inner, item in value.items())
    return "none" if value is None else _number(value)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
