"""A bundle to a repository, in one commit, with a README.md for the Hub's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bundle import MANIFEST, Bundle
from ..errors import BundleError, ExportError
from ..signing import SIGNATURE, check_signature
from .card import repository_card
from .client import TOKEN, hub_errors, token


def push_bundle(
    bundle: Bundle,
    repository: str,
    *,
    license: str,
    datasets: Sequence[str] = (),
    evaluations: Sequence[Mapping[str, Any]] = (),
    private: bool = True,
    signature: str | Path | None = None,
    public_key: str | Path | None = None,
    message: str = "A bundle of mmkg_sdk",
) -> str:
    """Push a bundle's files, and nothing else of its folder, to the Hugging Face Hub. The token is that in $HF_TOKEN.

    Args:
        repository: "organisation/name"; made if it is not there.
        license: of the weights, as the Hub spells it: "apache-2.0", "cc-by-4.0", "other".
        datasets: the data sets on the Hub that it was trained with.
        evaluations: what `mmkg-sdk evaluate BUNDLE --json` printed, for the card.
        private: who may see a repository that is made now; one that is there stays as it is.
        signature: what `mmkg_sdk.signing.sign_bundle` wrote of this bundle. It is checked by `public_key`, and goes
            with the bundle as bundle.sig. Without one, that of an earlier push is deleted: it is of another bundle.
        message: of the commit.

    Returns:
        The commit: what `mmkg_sdk.load(repository, revision=...)` takes.

    Raises:
        BackendError: huggingface_hub is not installed.
        BundleError: the folder was changed since it was opened, or is not what was signed.
        ExportError: no token, an evaluation that is none, a signature without a public key, or the Hub refused.
    """
    secret = token()
    if secret is None:
        raise ExportError(f"a push needs a token that may write; found none. Set ${TOKEN} in the environment.")
    if (signature is None) != (public_key is None):
        raise ExportError("a signature and the public key that checks it go together; found one of them.")
    card = repository_card(bundle, repository, license, datasets, evaluations)
    if Bundle.open(bundle.path, follow_links=bundle.follow_links).manifest != bundle.manifest:
        raise BundleError(f"{bundle.path} was changed since it was opened. Open it again, then push.")
    if signature is not None and public_key is not None:
        check_signature(bundle.path, signature, public_key=public_key)
    with hub_errors(ExportError, f"pushing to {repository}"):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        from ..version import __version__

        api = HfApi(token=secret, library_name="mmkg_sdk", library_version=__version__)
        files = {name: str(bundle.path / name) for name in (*bundle.manifest["files"], MANIFEST)}
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, path) for name, path in files.items()
        ]
        operations.append(CommitOperationAdd("README.md", card.encode()))
        api.create_repo(repository, private=private, exist_ok=True)
        if signature is not None:
            operations.append(CommitOperationAdd(SIGNATURE, str(signature)))
        elif api.file_exists(repository, SIGNATURE):
            operations.append(CommitOperationDelete(SIGNATURE))
        return str(api.create_commit(repository, operations, commit_message=message).oid)
