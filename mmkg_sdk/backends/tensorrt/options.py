"""BuildOptions: what whoever builds an engine may choose. Precision is no choice: it lies in the bundle's graphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ...errors import BackendError
from .bindings import Flavour
from .profiles import Buckets

Hardware = Literal["ampere-plus", "same-compute-capability"]


@dataclass(frozen=True)
class BuildOptions:
    """How engines are built; None and empty are the library's or our own choice.

    Attributes:
        buckets: of the optimization profiles; see profiles.py.
        level: how long TensorRT looks for faster kernels, 0 to 5; its own choice is 3. TensorRT for RTX looks for them
            on the GPU when the engine is opened, and builds the same engine at every level.
        workspace_mib: the most memory that a kernel may need beside its inputs and outputs, in MiB.
        version_compatible: the engine runs with later versions of TensorRT as well. It then holds code of the library
            that built it, which the runtime is allowed to run.
        strip: the engine is kept without its weights, which are put into it from the bundle whenever it is opened.
        hardware: which other GPUs run an engine of TensorRT; without it, only those of the compute capability that it
            was built on are given it.
        compute_capabilities: for which GPUs TensorRT for RTX builds, like "8.9"; none of them means its own list.
    """

    buckets: Buckets = field(default_factory=dict)
    level: int | None = None
    workspace_mib: int | None = None
    version_compatible: bool = False
    strip: bool = False
    hardware: Hardware | None = None
    compute_capabilities: tuple[str, ...] = ()

    def check(self, flavour: Flavour) -> None:
        """Refuse what no library would take; what one of them lacks, it says itself when it builds (build.py).

        Raises:
            BackendError: an option is out of range, or another flavour's.
        """
        if self.level is not None and not 0 <= self.level <= 5:
            raise BackendError(f"builder level {self.level}: expected 0 to 5.")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise BackendError(f"a workspace of {self.workspace_mib} MiB: expected at least 1.")
        if self.hardware is not None and self.hardware not in get_args(Hardware):
            raise BackendError(f"hardware {self.hardware!r}: expected one of {', '.join(get_args(Hardware))}.")
        if flavour == "tensorrt" and self.compute_capabilities:
            raise BackendError(
                "TensorRT builds for the GPU that it runs on. Leave out the compute capabilities, ask for a "
                "hardware-compatible engine, or take the flavour tensorrt-rtx."
            )

    def to_json(self) -> dict[str, Any]:
        """As an engine's record holds them; what differs here are different engines."""
        return {
            "profile": {axis: [str(bucket) for bucket in buckets] for axis, buckets in self.buckets.items()},
            "level": self.level,
            "workspace_mib": self.workspace_mib,
            "version_compatible": self.version_compatible,
            "strip": self.strip,
            "hardware": self.hardware,
        }
