"""Which instruction set the compiled kernels of a contender's process run on."""

from __future__ import annotations

import os


def hold_kernels_to(instruction_set: str | None) -> None:
    """Every kernel that this process opens from now on runs on this set; None leaves the choice to the library."""
    if instruction_set is not None:
        os.environ["MMKG_INSTRUCTION_SET"] = instruction_set
