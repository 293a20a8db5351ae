"""mmkg-sdk extract, tag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import backend_option, device_option, json_option, print_json
from .export import bundle_argument

_file = click.Path(path_type=Path)


def picture_options(command: Any) -> Any:
    """--image, --aux and --rcnn."""
    for option in (
        click.option(
            "--rcnn", type=_file, multiple=True, help="A small crop of it, as a detector finds it. Repeatable."
        ),
        click.option("--aux", type=_file, multiple=True, help="A crop of it that goes with the text. Repeatable."),
        click.option("--image", type=_file, help="The whole picture, for models that take it for a crop."),
    ):
        command = option(command)
    return command


@click.command()
@bundle_argument
@click.option("--sentence", required=True, help="The text.")
@click.option("--head", required=True, help="Words that stand in it once: the first thing.")
@click.option("--tail", required=True, help="Words that stand in it once: the second thing.")
@picture_options
@click.option("-k", "count", type=int, default=3, help="How many relations to show.")
@backend_option
@device_option
@json_option
def extract(
    bundle: Path,
    sentence: str,
    head: str,
    tail: str,
    image: Path | None,
    aux: tuple[Path, ...],
    rcnn: tuple[Path, ...],
    count: int,
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Tell the relation between two things in a sentence."""
    from ...answering.relation_extraction import Extractor, RelationMention
    from ...data.sentences import SentenceImages

    if count < 1:
        raise click.UsageError(f"-k is {count}; expected at least 1.")
    with Extractor.load(bundle, backend, device) as extractor:
        mention = RelationMention(sentence, head, tail, SentenceImages(image, aux, rcnn))
        (found,) = extractor.extract_relations(mention)
    if as_json:
        print_json(found.to_json())
        return
    click.echo(f"({found.head}, ?, {found.tail})")
    for rank, (label, score) in enumerate(found.ranked(count), start=1):
        click.echo(f"  {rank}. {label}  {score:.4f}")


@click.command()
@bundle_argument
@click.option("--sentence", required=True, help="The text.")
@picture_options
@backend_option
@device_option
@json_option
def tag(
    bundle: Path,
    sentence: str,
    image: Path | None,
    aux: tuple[Path, ...],
    rcnn: tuple[Path, ...],
    backend: str,
    device: str,
    as_json: bool,
) -> None:
    """Find the named entities of a sentence."""
    from ...answering.entity_recognition import Tagger
    from ...data.sentences import SentenceImages

    with Tagger.load(bundle, backend, device) as tagger:
        (found,) = tagger.tag(sentence, [SentenceImages(image, aux, rcnn)])
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
