"""mmkg-sdk explain."""

from __future__ import annotations

from pathlib import Path

import click

from ..asking import name_of
from ..options import backend_option, bundle_argument, device_option, json_option, print_json
from ..threads import threads_option


@click.command()
@bundle_argument
@click.argument("entity")
@backend_option
@device_option
@threads_option
@json_option
def explain(bundle: Path, entity: str, backend: str, device: str, as_json: bool) -> None:
    """Tell how much structure, image and text count in ENTITY, a label or an id, and each of its tokens."""
    from ...answering.link_prediction import Model

    with Model.load(bundle, backend, device) as model:
        found = model.explain_entity(name_of(entity, model.entities, "entity"))
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(repr(found))
