"""huggingface_hub as this package uses it: its token comes from the environment alone, its errors become ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import MmkgError, unimportable

TOKEN = "HF_TOKEN"


def token() -> str | None:
    """The user's token, or None. Never one that huggingface_hub keeps in a file."""
    return os.environ.get(TOKEN) or None


@contextmanager
def hub_errors(error: type[MmkgError], doing: str) -> Iterator[None]:
    """What goes wrong with a repository, as one of our errors. No token is in its message.

    huggingface_hub raises its own errors, those of two HTTP libraries and of the upload protocols, RuntimeError and
    ValueError; they have no class in common but Exception.
    """
    try:
        yield
    except MmkgError:
        raise
    except ImportError as err:
        raise unimportable(err, "the Hugging Face Hub") or err from err
    except Exception as err:
        reason, secret = " ".join(str(err).split()) or type(err).__name__, token()
        tells = secret is not None and secret in reason  # a server may repeat what it was given
        reason = reason.replace(secret, f"${TOKEN}") if secret else reason
        message = f"{doing} failed ({type(err).__name__}: {reason:.300}). {_advice(err)}"
        raise error(message) from (None if tells else err)


def _advice(err: Exception) -> str:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(err, HFValidationError):
        return "A repository is named ORGANISATION/NAME."
    if isinstance(err, RevisionNotFoundError):
        return "Pass a commit that this repository has."
    if isinstance(err, RepositoryNotFoundError):
        return f"Check the name; if it is private, set ${TOKEN} to a token that may read it."
    if isinstance(err, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
        return "It is not in the cache, either: fetch it once while the Hub can be reached."
    if isinstance(err, EntryNotFoundError):
        return "This is no repository of a bundle, or not all of it was pushed."
    return f"Check the connection and, if the repository is private or written to, ${TOKEN}."
