"""CompiledInteraction: what scores mentions and entities of a bundle on the CPU in place of its interaction graph.

As with encoders (compiled_encoder.py), whoever names a backend gets the graph on it. Only where nobody did, the
compiled kernel does its work (kernels/interaction.py), several times faster. Half precision entities are scored with
logits in int16, which changes scores by less than storing them in half precision did.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import Backend, weights_identity
from .bundle import Bundle
from .errors import BackendError, BundleError
from .kernels import LateInteraction, library

GRAPH = "interaction"


def absence(bundle: Bundle) -> str | None:
    """Why the compiled kernel cannot score the entities of a bundle; None if it can."""
    if GRAPH not in bundle.graphs:
        return f"this bundle has no graph {GRAPH}"
    found = library()
    return found if isinstance(found, str) else None


def compiled_interaction(bundle: Bundle, backend: Backend) -> CompiledInteraction | None:
    """What scores pairs; None: the graph does, on the backend.

    That is so where the backend was asked for by name, is no CPU, or `absence` says why.
    """
    if not backend.automatic or backend.device != "cpu" or absence(bundle):
        return None
    return CompiledInteraction(bundle, backend.threads)


class CompiledInteraction:
    """The interaction of a bundle that `absence` allows. Safe to call from several threads.

    Weights are read when the first mentions are scored; they must still be those that lay in the folder when this was
    made.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self.bundle = bundle
        self._threads = threads
        self._weights = weights_identity(bundle)
        self._lock = threading.Lock()
        self._interaction: LateInteraction | None = None

    def scores(
        self, mentions: Mapping[str, NDArray[np.float32]], candidates: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """float32 [3, mentions, candidates], by unit: text, image, image with text.

        Args:
            mentions: their pieces by name, float32 [mentions, ...].
            candidates: int64 [candidates], ids; None = all entities.

        Raises:
            BundleError: the weights are unreadable or do not fit.
            BackendError: the folder was replaced, or a score is not finite.
        """
        with self._lock:
            if self._interaction is None:
                self._interaction = self._open()
        return self._interaction.scores(mentions, self.bundle.encoded, candidates)

    def _open(self) -> LateInteraction:
        from safetensors import SafetensorError, safe_open

        path = self.bundle.path / "weights.safetensors"
        prefix = f"{GRAPH}."
        try:
            with safe_open(path, framework="np") as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                weights: dict[str, NDArray[Any]] = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as err:
            raise BundleError(f"{path} cannot be read: {err}. Fetch the bundle again.") from err
        if weights_identity(self.bundle) != self._weights:
            raise BackendError(
                f"{self.bundle.path} was replaced since this linker was loaded, so its weights may not belong to its "
                "table. Load the bundle again."
            )
        pieces = self.bundle.encoded
        sizes = {name: piece.shape[1:] for name, piece in pieces.items()}
        return LateInteraction(weights, sizes, pieces["entity_queries"].dtype.name, threads=self._threads)
