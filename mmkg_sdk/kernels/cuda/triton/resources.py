"""What a compiled kernel takes of a multiprocessor: registers, spills, shared memory, instructions."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import triton

_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)", re.MULTILINE)


@dataclass(frozen=True)
class Resources:
    """Of one kernel on one target.

    Attributes:
        registers: of a thread.
        stack_bytes, local_bytes: of a thread.
        spill_loads, spill_stores: instructions that read and write local memory.
        shared_bytes: of a block.
        instructions: of the whole kernel, without the padding after its end.
        code_bytes: of the cubin.
    """

    registers: int
    stack_bytes: int
    local_bytes: int
    spill_loads: int
    spill_stores: int
    shared_bytes: int
    instructions: int
    code_bytes: int


def resources(cubin: bytes, shared_bytes: int) -> Resources:
    """What a cubin takes, by NVIDIA's tools in the Triton wheel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _USAGE.search(_run("cuobjdump", "-res-usage", file.name))
        names = _INSTRUCTION.findall(_run("nvdisasm", "-c", file.name))
    if usage is None or not names:
        raise ValueError("cuobjdump or nvdisasm printed something unknown of a compiled kernel.")
    registers, stack, local = (int(number) for number in usage.groups())
    return Resources(
        registers=registers,
        stack_bytes=stack,
        local_bytes=local,
        spill_loads=names.count("LDL"),
        spill_stores=names.count("STL"),
        shared_bytes=shared_bytes,
        instructions=sum(name != "NOP" for name in names),
        code_bytes=len(cubin),
    )


def _run(tool: str, *arguments: str) -> str:
    return subprocess.run([_TOOLS / tool, *arguments], check=True, capture_output=True, text=True).stdout
