"""Signatures of bundles: who made one, besides that it is whole. model-signing makes and checks them.

A signature is a file of its own, in the format of Sigstore bundles: an ECDSA signature over the hashes of all files of
the folder. It lies outside of the folder, which may hold the bundle's files and no others; or as `bundle.sig` within,
where a repository has it, and then is not signed itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bundle import MANIFEST, Bundle, read_manifest
from .errors import BundleError, ExportError, MmkgError, unimportable

# The name of a signature in a repository, beside the files of the bundle.
SIGNATURE = "bundle.sig"
_LARGEST = 1 << 20  # bytes of a signature; one has some thousand


def sign_bundle(path: str | Path, signature: str | Path, *, private_key: str | Path) -> None:
    """Verify a bundle and sign it.

    Args:
        signature: the file to write, outside of the bundle's folder.
        private_key: a file in PEM without a password, of the curve P-256, P-384 or P-521.

    Raises:
        BackendError: model-signing is not installed.
        BundleError: the bundle is not whole, or its folder holds other files.
        ExportError: the key cannot be used, or the signature cannot be written.
    """
    folder, target = Bundle.open(path, hash_always=True).path, Path(signature)
    _check_files(folder)
    if target.resolve().is_relative_to(folder.resolve()):
        raise ExportError(f"{target} would be one more file of the bundle. Write the signature outside of {folder}.")
    with _errors(ExportError, f"signing {folder} with {private_key}", "Pass a private key in PEM without a password."):
        from model_signing import signing

        config = signing.Config().use_elliptic_key_signer(private_key=Path(private_key))
        config.set_hashing_config(_hashing(folder)).sign(folder, target)


def check_signature(path: str | Path, signature: str | Path, *, public_key: str | Path) -> None:
    """Whether a bundle's folder is, to the last byte and file, what the owner of a key signed.

    The files are read here. Whoever can change them afterwards is not held back by it.

    Raises:
        BackendError: model-signing is not installed.
        BundleError: it is not, or one of the three is missing or no such file.
    """
    folder = Path(path)
    _check_files(folder)
    with _errors(BundleError, f"checking {folder} by {signature} and {public_key}", "Do not use this bundle."):
        from model_signing import verifying

        config = verifying.Config().use_elliptic_key_verifier(public_key=Path(public_key))
        if (size := Path(signature).stat().st_size) > _LARGEST:
            raise ValueError(f"{signature} has {size:,} bytes, and is no signature")
        config.set_hashing_config(_hashing(folder)).verify(folder, Path(signature))


def _hashing(folder: Path) -> Any:
    """Every file but the signature by SHA-256, hidden ones and those of git, too. Links are what they lead to: a Hub's
    cache has them."""
    from model_signing import hashing

    ignored = [folder / SIGNATURE]
    return hashing.Config().set_ignored_paths(paths=ignored, ignore_git_paths=False).set_allow_symlinks(True)


def _check_files(folder: Path) -> None:
    """Refuse a folder with a file that is none of the bundle's."""
    listed = {MANIFEST, SIGNATURE, *read_manifest(folder)["files"]}
    if odd := {path.name for path in folder.iterdir()} - listed:
        raise BundleError(
            f"{folder} holds {min(odd)!r:.120}, which is no file of the bundle, and would be signed with it. Remove it."
        )


@contextlib.contextmanager
def _errors(error: type[MmkgError], doing: str, advice: str) -> Iterator[None]:
    """What goes wrong in model-signing and its libraries, whose errors have no class in common but Exception."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it prints warnings
            yield
    except ImportError as err:
        raise unimportable(err, "a signature") or err from err
    except Exception as err:
        reason = " ".join(str(err).split()) or type(err).__name__
        raise error(f"{doing} failed: {reason:.400}. {advice}") from err
