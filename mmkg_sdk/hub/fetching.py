"""A bundle of a repository, in the cache of huggingface_hub.

Only files that bundle.json may list are asked for. They are verified when the folder is opened, as every bundle's.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..bundle import MANIFEST, read_manifest
from ..errors import BundleError
from ..signing import SIGNATURE, check_signature
from ..version import __version__
from .client import hub_errors, token

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_bundle(repository: str, revision: str, *, public_key: str | Path | None = None) -> Path:
    """Fetch a bundle from the Hugging Face Hub, unless it is in the cache; then nothing is asked of the Hub.

    Args:
        repository: "organisation/name". A private one is read with the token in $HF_TOKEN.
        revision: the commit, 40 hexadecimal digits. Branches and tags move, and would be other bundles tomorrow.
        public_key: of who is to have signed it, in PEM: the signature in the repository is fetched and checked.

    Returns:
        The folder in the cache of huggingface_hub ($HF_HOME). Its files are not verified yet: opening it does.

    Raises:
        BackendError: huggingface_hub, or with a key model-signing, is not installed.
        BundleError: the revision is no commit, there is no such repository, it holds no bundle, or the Hub cannot be
            reached; with a key also that the bundle is not what its owner signed.
    """
    if not _COMMIT.fullmatch(revision):
        raise BundleError(
            f"{revision!r:.80} is no pinned revision of {repository}; expected a commit of 40 hexadecimal digits, as "
            f"`push` prints it and the repository's history shows it: branches and tags move."
        )
    folder = _download(repository, revision, MANIFEST).parent
    for name in read_manifest(folder)["files"]:  # checked: they are in the format's closed list
        _download(repository, revision, name)
    if public_key is not None:
        check_signature(folder, _download(repository, revision, SIGNATURE), public_key=public_key)
    return folder


def _download(repository: str, revision: str, name: str) -> Path:
    with hub_errors(BundleError, f"fetching {name} of {repository} at {revision}"):
        from huggingface_hub import hf_hub_download

        path = Path(
            hf_hub_download(
                repository,
                name,
                revision=revision,
                token=token() or False,
                library_name="mmkg_sdk",
                library_version=__version__,
            )
        )
        if (path.parent.name, path.name) != (revision, name):
            raise BundleError(
                f"asked for {name} of {repository} at {revision}, the server answered with {path.parent.name}. "
                "Do not trust it; check $HF_ENDPOINT."
            )
    return path
