"""mmkg-sdk extract."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import count_option
from ..options import backend_option, bundle_argument, device_option, image_options, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--sentence", required=True, help="The text.")
@click.option("--head", required=True, help="Words that stand in it once: the first thing.")
@click.option("--tail", required=True, help="Words that stand in it once: the second thing.")
@image_options
@count_option(3)
@backend_option
@device_option
@threads_option
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

    with Extractor.load(bundle, backend, device) as extractor:
        mention = RelationMention(sentence, head, tail, SentenceImages(image, aux, rcnn))
        (found,) = extractor.extract_relations(mention)
    if as_json:
        print_json(found.to_json(count))
        return
    click.echo(f"({found.head}, ?, {found.tail})")
    for rank, (label, score) in enumerate(found.ranked(count), start=1):
        click.echo(f"  {rank}. {label}  {score:.4f}")
    for note in found.notes():
        click.echo(f"  ({note})")
