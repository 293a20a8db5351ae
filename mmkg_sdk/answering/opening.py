"""load: from a bundle's folder to what answers from it."""

from __future__ import annotations

from pathlib import Path

from ..backends import open_backend
from ..bundle import Bundle
from ..hub import fetch_bundle
from .entity_linking import Linker
from .entity_recognition import Tagger
from .link_prediction import Model
from .relation_extraction import Extractor

Answerer = Model | Linker | Extractor | Tagger

_CLASSES: dict[str, type[Answerer]] = {kind.task: kind for kind in (Model, Linker, Extractor, Tagger)}


def load(
    path: str | Path,
    backend: str = "auto",
    device: str = "auto",
    *,
    revision: str | None = None,
    threads: int | None = None,
    follow_links: bool = False,
    hash_always: bool = False,
) -> Answerer:
    """Open a bundle, verify every file, and make it ready to answer.

    `Model.load`, `Linker.load`, `Extractor.load` and `Tagger.load` do the same for a bundle whose task is known, and
    tell a type checker what they return.

    Args:
        path: the folder that `mmkg-sdk export` wrote; or with `revision`, a repository of the Hugging Face Hub,
            "organisation/name".
        backend: "onnxruntime" or "torch", which run every graph; "tensorrt", which does so on a GPU with engines that
            it may have to build first (never run on a GPU yet); or "auto", with which compiled kernels do the work of
            graphs on the CPU where they can (backends/base.py).
        device: "cpu", "cuda", "cuda:N", or "auto".
        revision: the commit of the repository, 40 hexadecimal digits. It is fetched once, and opened from
            huggingface_hub's cache ever after; a private one is read with the token in $HF_TOKEN (docs/sharing.md).
        threads: CPU threads, of kernels and backend; None takes `mmkg_sdk.kernels.default_threads()`.
        follow_links: files of the bundle may be links to any place. Without it, links may lead to the same folder, and
            to the blobs of a Hugging Face cache that the folder is a snapshot of.
        hash_always: read and hash large files, too, that were verified on this machine and have not changed since.
            $MMKG_VERIFIED_RECORDS=off does so for every bundle.

    Returns:
        What the bundle's task asks for: `Model` (link prediction), `Linker` (entity linking), `Extractor` (relation
        extraction) or `Tagger` (entity recognition).

    Raises:
        BundleError: the bundle is missing, incomplete, changed or of another version, or cannot be fetched.
        BackendError: what was asked for is not there; nothing is replaced silently.
    """
    if revision is not None:
        path = fetch_bundle(Path(path).as_posix(), revision)
    bundle = Bundle.open(path, follow_links=follow_links, hash_always=hash_always)
    opened = open_backend(bundle, backend, device, threads)
    return answerer_class(bundle)(bundle, opened, compiled=backend == "auto")


def answerer_class(bundle: Bundle) -> type[Answerer]:
    """The class that answers from a bundle."""
    return _CLASSES[bundle.config.task]
