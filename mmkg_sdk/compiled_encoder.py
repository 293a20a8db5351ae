"""CompiledEncoder: what encodes entities of a bundle on the CPU in place of its token-table graph.

The graph stays what it is: whoever names it gets it, on the backend. Only where nobody asked for a backend by name, and
no graph is named, the compiled kernels do its work (kernels/token_table.py), several times faster.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from .backends import Backend, weights_identity
from .bundle import Bundle
from .entity_batch import EntityBatch
from .errors import BackendError, BundleError
from .kernels import TokenTableEncoder, library

TOKEN_TABLE_GRAPH = "entity_encoder_token_table"


def absence(bundle: Bundle) -> str | None:
    """Why the compiled kernels cannot encode the entities of a bundle; None if they can."""
    if TOKEN_TABLE_GRAPH not in bundle.graphs:
        return (
            f"this bundle has no graph {TOKEN_TABLE_GRAPH}: the rewrite is MyGO's, and exact for one entity encoder "
            "layer only"
        )
    if bundle.precision != "fp32":
        return f"the compiled encoder multiplies float32 weights, and this bundle is {bundle.precision}"
    found = library()
    return found if isinstance(found, str) else None


def compiled_encoder(bundle: Bundle, backend: Backend) -> CompiledEncoder | None:
    """What encodes entities where no graph is named; None: the graph does, on the backend.

    That is so where the backend was asked for by name, is no CPU, or `absence` says why.
    """
    if not backend.automatic or backend.device != "cpu" or absence(bundle):
        return None
    return CompiledEncoder(bundle, backend.threads)


class CompiledEncoder:
    """The token-table encoder of a bundle that `absence` allows. Safe to call from several threads.

    Weights are read when the first entities are encoded, for most users of a bundle never encode one; they must still
    be those that lay in its folder when this was made.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self.bundle = bundle
        self._threads = threads
        self._weights = weights_identity(bundle)
        self._lock = threading.Lock()
        self._encoder: TokenTableEncoder | None = None

    def encode(self, batch: EntityBatch) -> dict[str, NDArray[np.float32]]:
        """ "vectors" float32 [len(batch), width].

        Raises:
            BundleError: the weights are unreadable or do not fit.
            BackendError: the folder was replaced, or a vector is not finite.
        """
        with self._lock:
            if self._encoder is None:
                self._encoder = self._open()
        return {"vectors": self._encoder.encode(**batch.arrays)}

    def _open(self) -> TokenTableEncoder:
        from safetensors import SafetensorError, safe_open

        path = self.bundle.path / "weights.safetensors"
        prefix = f"{TOKEN_TABLE_GRAPH}."
        try:
            with safe_open(path, framework="np") as file:
                names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
                weights = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as err:
            raise BundleError(f"{path} cannot be read: {err}. Fetch the bundle again.") from err
        if weights_identity(self.bundle) != self._weights:
            raise BackendError(
                f"{self.bundle.path} was replaced since this model was loaded, so its encoder may not belong to its "
                "table. Load the bundle again."
            )
        return TokenTableEncoder(weights, self.bundle.config.visual_codebook_rows, self._threads)
