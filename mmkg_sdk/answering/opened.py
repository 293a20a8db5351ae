"""Opened: what Model, Linker, Extractor and Tagger have in common: a bundle on a backend, closed when done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..backends import AnyArray, Backend, DeviceArray, open_backend
from ..bundle import Bundle
from ..errors import BackendError, BundleError
from ..hub import push_bundle


class Opened(ABC):
    """A bundle, opened on one backend.

    Attributes:
        task: what bundles of this class do, as registry.py names it.

    Args:
        compiled: compiled kernels do the work of graphs where there are some for the backend's device. So it is where
            nobody asked for a backend by name.
    """

    task: ClassVar[str]

    def __init__(self, bundle: Bundle, backend: Backend, *, compiled: bool = False) -> None:
        self.bundle = bundle
        self.backend = backend
        self.compiled = compiled
        if self._needs_first_graph():
            backend.prepare(bundle.contents.graphs[0])

    @classmethod
    def load(
        cls,
        path: str | Path,
        backend: str = "auto",
        device: str = "auto",
        *,
        threads: int | None = None,
        follow_links: bool = False,
        hash_always: bool = False,
    ) -> Self:
        """Open a bundle of this class's task; arguments and errors are those of `mmkg_sdk.load`,
        but for a revision: `mmkg_sdk.hub.fetch_bundle` gives the folder of one.

        Raises:
            BundleError: also if the bundle is for another task.
        """
        bundle = Bundle.open(path, follow_links=follow_links, hash_always=hash_always)
        if bundle.config.task != cls.task:
            raise BundleError(
                f"{bundle.path} is for {bundle.config.task}; {cls.__name__} needs a bundle for {cls.task}. "
                "`mmkg_sdk.load` opens any bundle."
            )
        return cls(bundle, open_backend(bundle, backend, device, threads), compiled=backend == "auto")

    def push_to_hub(
        self,
        repository: str,
        *,
        license: str,
        datasets: Sequence[str] = (),
        evaluations: Sequence[Mapping[str, Any]] = (),
        private: bool = True,
        signature: str | Path | None = None,
        public_key: str | Path | None = None,
    ) -> str:
        """Push the bundle to the Hugging Face Hub; `mmkg_sdk.hub.push_bundle` says what is pushed, and what it raises.

        Entities that were added to an open model are not in its bundle.

        Returns:
            The commit, for `mmkg_sdk.load(repository, revision=...)`.
        """
        return push_bundle(
            self.bundle,
            repository,
            license=license,
            datasets=datasets,
            evaluations=evaluations,
            private=private,
            signature=signature,
            public_key=public_key,
        )

    @property
    def has_stand_ins(self) -> bool:
        """Whether kernels do the work of some graph."""
        return False

    def run_graph(self, graph: str, inputs: Mapping[str, AnyArray], needed: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Outputs of a graph of the bundle by name: those of its signature, float ones without NaN and infinity.

        Args:
            inputs: what the signature names, on the host or placed by the backend; more is passed over.
            needed: outputs that the signature must have.

        Raises:
            BackendError: the graph failed, or gave something else.
        """
        given, expected = self._signature(graph, inputs, needed)
        outputs = self.backend.run(graph, given)
        _check_outputs(graph, outputs, expected)
        for name in expected:
            if outputs[name].dtype.kind == "f" and not np.isfinite(outputs[name]).all():
                raise self._not_finite(graph)
        return outputs

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray], needed: Iterable[str]) -> dict[str, DeviceArray]:
        """Like `run_graph`, with outputs that stay on the backend's device.

        Nobody has looked for NaN and infinity among them: that would take a wait for the device. Whoever reads what is
        made of them looks there, and raises `_not_finite`.
        """
        given, expected = self._signature(graph, inputs, needed)
        outputs = self.backend.run_placed(graph, given)
        _check_outputs(graph, outputs, expected)
        return outputs

    def _not_finite(self, graph: str) -> BackendError:
        """The error for NaN or infinity in what a graph gave."""
        return BackendError(
            f"{graph} in {self.bundle.precision} gave NaN or infinity on {self.backend.device}. "
            "Export again with --precision fp32."
        )

    def _signature(
        self, graph: str, inputs: Mapping[str, AnyArray], needed: Iterable[str]
    ) -> tuple[dict[str, AnyArray], dict[str, tuple[str, tuple[int, ...] | None]]]:
        """The inputs that a graph's signature names; dtype and shape (None: it names none) of the outputs by name."""
        spec = self.bundle.graphs[graph]
        try:
            given = {tensor.name: inputs[tensor.name] for tensor in spec.exported_inputs}
            shapes = spec.output_shapes({name: array.shape for name, array in given.items()})
        except (KeyError, ValueError) as err:  # bundle.json, or the caller, names another tensor or number of axes
            found_shapes = {name: list(array.shape) for name, array in inputs.items()}
            raise BackendError(
                f"{graph} does not take {found_shapes} by its signature in bundle.json ({err}). "
                "Export the bundle again."
            ) from err
        return given, {name: shapes.get(name, ("float32", None)) for name in {*needed, *shapes}}

    def _needs_first_graph(self) -> bool:
        """Whether the first graph is loaded now, so that its errors come now; others are when they are run."""
        return True

    def close(self) -> None:
        """Free the backend. Later calls raise BackendError."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        bundle = self.bundle
        return (
            f"{type(self).__name__}({bundle.family} {bundle.precision}: {self._sizes()}, {self._runs_on()}, "
            f"{str(bundle.path)!r})"
        )

    def _runs_on(self) -> str:
        return f"{self.backend.name} on {self.backend.device}"

    @abstractmethod
    def _sizes(self) -> str:
        """What of it is worth a word in its repr."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Sessions and memory maps cannot travel to another process; the path can.
        bundle, backend = self.bundle, self.backend
        name = "auto" if self.compiled else backend.name
        path = bundle.path.absolute()
        return reopened, (type(self), path, name, backend.device, backend.threads, bundle.follow_links)


def reopened(kind: type[Opened], path: Path, backend: str, device: str, threads: int | None, follow_links: bool) -> Any:
    """What unpickling does: open the bundle again, on the same kind of backend."""
    return kind.load(path, backend, device, threads=threads, follow_links=follow_links)


def _check_outputs(
    graph: str, outputs: Mapping[str, AnyArray], expected: Mapping[str, tuple[str, tuple[int, ...] | None]]
) -> None:
    for name, (dtype, shape) in expected.items():
        found = outputs.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            what = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
            wanted = dtype if shape is None else f"{dtype} {list(shape)}"
            raise BackendError(f"{graph} gave {what} as {name!r}, expected {wanted}. Export the bundle again.")
