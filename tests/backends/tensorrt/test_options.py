"""What no library would take is refused before anything is built; test_build.py has what libraries say themselves."""

from __future__ import annotations

from typing import Any

import pytest

from mmkg_sdk.backends.tensorrt.bindings import Flavour
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.errors import BackendError


@pytest.mark.parametrize(
    ("flavour", "options", "message"),
    [
        ("tensorrt", {"level": 6}, "level 6: expected 0 to 5"),
        ("tensorrt", {"level": -1}, "level -1"),
        ("tensorrt", {"workspace_mib": 0}, "workspace of 0 MiB"),
        ("tensorrt", {"hardware": "every"}, "expected one of ampere-plus, same-compute-capability"),
        ("tensorrt", {"compute_capabilities": ("8.9",)}, "TensorRT builds for the GPU that it runs on"),
    ],
)
def test_options_that_cannot_be_had_are_refused(flavour: Flavour, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        BuildOptions(**options).check(flavour)


@pytest.mark.parametrize(
    ("flavour", "options"),
    [
        ("tensorrt", {}),
        (
            "tensorrt",
            {"level": 0, "workspace_mib": 1, "hardware": "ampere-plus", "version_compatible": True, "strip": True},
        ),
        ("tensorrt-rtx", {"level": 5, "compute_capabilities": ("8.9", "12.0")}),
    ],
)
def test_options_that_can_be_had_are_not(flavour: Flavour, options: dict[str, Any]) -> None:
    BuildOptions(**options).check(flavour)
