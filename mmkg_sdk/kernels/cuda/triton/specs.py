"""What is compiled: KernelSpec, one instance of a Triton function with its constants; and all of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Compute capabilities that kernels are compiled for, 90 for 9.0.
TARGETS = (80, 86, 89, 90, 100, 120)
# Its kernels are kept as PTX, too, which the driver compiles for GPUs that are none of TARGETS.
PTX_TARGET = 80
# Bytes of shared memory that a block may have at most, by target: CUDA C++ Programming Guide, "Technical
# Specifications per Compute Capability".
SHARED_LIMITS = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}

# Lengths of names of kernels and of constants in the image, without the byte that ends them; see image.py.
MAX_NAME, MAX_CONSTANT_NAME = 63, 23


@dataclass(frozen=True)
class KernelSpec:
    """One kernel of the image: a Triton function with its constants.

    Attributes:
        name: what the launcher asks for, unique among all kernels: "scan_bins_d256".
        function: of `triton.jit`.
        signature: type of each parameter that is no constant: "*bf16" (an address that is a multiple of 16), "i32",
            "i64", "fp32", "tensordesc<bf16[128, 256]>" (a tensor map where there is one, from compute capability 9.0
            on; an address with extents and strides below).
        constants: value of each `tl.constexpr` parameter.
        num_warps: of a block; a power of 2.
        num_stages: of loads in flight; shared memory grows with it.
        targets: those of TARGETS that it exists for. Two specs may share a name if no target is in both.
    """

    name: str
    function: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any]
    num_warps: int
    num_stages: int
    targets: tuple[int, ...] = TARGETS

    def whole_constants(self) -> tuple[tuple[str, int], ...]:
        """Constants that are whole numbers, by name: what the image keeps of them."""
        return tuple((name, int(value)) for name, value in sorted(self.constants.items()) if isinstance(value, int))


def all_kernels() -> tuple[KernelSpec, ...]:
    """KERNELS of every module in the rooms of this folder, by name and target.

    Raises:
        ValueError: a name is taken twice for one target or too long, or a target or parameter is unknown.
    """
    found: list[KernelSpec] = []
    package = __package__ or ""
    folder = importlib.import_module(package).__path__
    for module in sorted(info.name for info in pkgutil.walk_packages(folder, f"{package}.")):
        found.extend(getattr(importlib.import_module(module), "KERNELS", ()))
    found.sort(key=lambda spec: (spec.name, spec.targets))
    check_kernels(found)
    return tuple(found)


def check_kernels(kernels: list[KernelSpec]) -> None:
    """Refuse kernels that cannot be told apart or compiled; see all_kernels."""
    taken: set[tuple[str, int]] = set()
    for spec in kernels:
        if not spec.name.isidentifier() or len(spec.name) > MAX_NAME:
            raise ValueError(f"kernel {spec.name!r}: expected a name of at most {MAX_NAME} letters, digits and _.")
        given = {*spec.signature, *spec.constants}
        if given != set(spec.function.arg_names) or len(given) != len(spec.signature) + len(spec.constants):
            raise ValueError(
                f"kernel {spec.name}: signature and constants name {sorted(given)}; "
                f"expected each of {spec.function.arg_names} once."
            )
        if any(len(name) > MAX_CONSTANT_NAME for name in spec.constants):
            raise ValueError(f"kernel {spec.name}: expected names of constants of at most {MAX_CONSTANT_NAME} letters.")
        if unknown := set(spec.targets) - set(TARGETS):
            raise ValueError(f"kernel {spec.name}: targets {sorted(unknown)} are none of {TARGETS}.")
        for target in spec.targets:
            if (spec.name, target) in taken:
                raise ValueError(f"two kernels are called {spec.name} for compute capability {target}.")
            taken.add((spec.name, target))
