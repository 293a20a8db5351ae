"""What the shell offers behind an option: presets, settings, data sets."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from ..registry import FAMILIES


def presets(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Presets of the family that was named."""
    from ..families import contract

    return [item for family in _family(context) for item in _beginning(begun, contract.config_part(family).PRESETS)]


def settings(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """NAME= of the family that was named, with what it means. An import takes no settings of the training."""
    from ..training.listing import settings_of

    known = [one for family in _family(context) for one in settings_of(family)]
    offered = {f"{one.name}=": one.meaning for one in known if context.info_name == "train" or not one.trains}
    return [CompletionItem(name, help=offered[name]) for name in offered if name.startswith(begun)]


def data_sets(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Embedded and public data sets, or else folders."""
    from ..data.open import ATLAS, ATLAS_SENTENCES
    from ..data.registry import PUBLIC

    return _beginning(begun, (ATLAS, *ATLAS_SENTENCES, *PUBLIC)) or [CompletionItem(begun, type="dir")]


def _family(context: click.Context) -> list[str]:
    """The family that was named, if it was."""
    # While an option lacks its value, click leaves arguments among the words that it has not read.
    named = context.params.get("family") or next(iter(context.args), "")
    return [family for family in FAMILIES if family == named.replace("-", "_")]


def _beginning(begun: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]
