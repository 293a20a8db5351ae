"""mmkg-sdk tag."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import backend_option, bundle_argument, device_option, image_options, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.option("--sentence", required=True, help="The text.")
@image_options
@backend_option
@device_option
@threads_option
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
