"""Compiles every kernel for every target and writes the image, and a table of what each kernel takes.

    python -m mmkg_sdk.kernels.cuda.triton.build [--out FOLDER] [--only NAME_PART] [--jobs N]

Needs Triton 3.9, no GPU and no CUDA toolkit. The same sources and the same Triton give the same bytes. Nothing here
says that a kernel is right on hardware or fast.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .image import CodeKind, CompiledKernel, image
from .parameters import parameters, sizes_in_cubin
from .resources import Resources, resources
from .specs import PTX_TARGET, SHARED_LIMITS, KernelSpec, all_kernels

IMAGE_FILE = Path(__file__).parents[2] / "mmkg_cuda.bin"
RESOURCES_FILE = Path(__file__).with_name("resources.json")
_TRITON = "3.9."
_WARP = 32


def compile_kernel(spec: KernelSpec, target: int) -> tuple[list[CompiledKernel], Resources]:
    """A kernel as cubin, for PTX_TARGET as PTX, too; and what it takes.

    Raises:
        ValueError: parameters are not those that the launcher packs, or it takes too much shared memory.
    """
    compiled = _triton_compile(spec, target)
    facts = compiled.metadata
    cubin = compiled.asm["cubin"]
    layout = parameters(spec, target, facts.tensordesc_meta)
    found = sizes_in_cubin(cubin, facts.name)
    if found != [parameter.bytes for parameter in layout]:
        raise ValueError(f"{spec.name} for {target} has parameters of {found} bytes; expected {layout}.")
    if facts.shared > SHARED_LIMITS[target]:
        raise ValueError(
            f"{spec.name} for {target} takes {facts.shared} bytes of shared memory; a block may have "
            f"{SHARED_LIMITS[target]}. Take smaller tiles or fewer stages, or leave out the target."
        )
    if facts.global_scratch_size or facts.profile_scratch_size or facts.num_ctas != 1:
        raise ValueError(f"{spec.name} for {target} wants scratch memory or a cluster, which no launcher gives.")

    def entry(kind: CodeKind, code: bytes) -> CompiledKernel:
        threads, constants = spec.num_warps * _WARP, spec.whole_constants()
        return CompiledKernel(spec.name, facts.name, target, kind, code, facts.shared, threads, layout, constants)

    kernels = [entry(CodeKind.CUBIN, cubin)]
    if target == PTX_TARGET:
        kernels.append(entry(CodeKind.PTX, compiled.asm["ptx"].encode() + b"\0"))
    return kernels, resources(cubin, facts.shared)


def build(specs: Sequence[KernelSpec], jobs: int) -> tuple[bytes, dict[str, dict[str, dict[str, int]]]]:
    """The image, and resources by kernel and target."""
    work = [(spec, target) for spec in specs for target in spec.targets]
    kernels: list[CompiledKernel] = []
    table: dict[str, dict[str, dict[str, int]]] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        names = [(spec.name, target) for spec, target in work]
        for (name, target), (made, taken) in zip(names, pool.map(_compile_by_name, names), strict=True):
            kernels += made
            table.setdefault(name, {})[str(target)] = asdict(taken)
    return image(kernels), table


def sources_sha256() -> str:
    """Of everything that decides what is compiled: the kernels in the rooms of this folder, and specs.py."""
    folder = Path(__file__).parent
    digest = sha256()
    for path in sorted([*folder.glob("*/*.py"), folder / "specs.py"]):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description="Compile the CUDA kernels. Needs Triton 3.9 and no GPU.")
    parser.add_argument("--out", type=Path, help="folder for both files; default: where the package reads them")
    parser.add_argument("--only", default="", help="only kernels whose name has this part; needs --out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes [default: one a core]")
    asked = parser.parse_args()
    if asked.only and asked.out is None:
        parser.error("--only would leave kernels out of the package's own image: give --out as well.")
    specs = [spec for spec in all_kernels() if asked.only in spec.name]
    contents, table = build(specs, asked.jobs)
    image_file = IMAGE_FILE if asked.out is None else asked.out / IMAGE_FILE.name
    resources_file = RESOURCES_FILE if asked.out is None else asked.out / RESOURCES_FILE.name
    image_file.write_bytes(contents)
    record = {"triton": _TRITON, "sources": sources_sha256(), "image": sha256(contents).hexdigest(), "kernels": table}
    resources_file.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    print(f"{image_file}: {len(specs)} kernels, {len(contents)} bytes. {resources_file}: what they take.")


def _compile_by_name(name_and_target: tuple[str, int]) -> tuple[list[CompiledKernel], Resources]:
    # Triton's functions cannot be sent to a process; names can.
    name, target = name_and_target
    spec = next(spec for spec in all_kernels() if spec.name == name and target in spec.targets)
    try:
        return compile_kernel(spec, target)
    except Exception as error:
        error.add_note(f"This was {name} for compute capability {target}.")
        raise


def _triton_compile(spec: KernelSpec, target: int) -> Any:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    if not triton.__version__.startswith(_TRITON):
        raise ValueError(f"found Triton {triton.__version__}; expected {_TRITON}x, whose parameters are known here.")
    if triton.knobs.runtime.interpret:
        raise ValueError("TRITON_INTERPRET is set, and the interpreter compiles nothing: unset it to build.")
    names = spec.function.arg_names
    source = ASTSource(
        fn=spec.function,
        signature={name: spec.signature.get(name, "constexpr") for name in names},
        constexprs=dict(spec.constants),
        attrs={
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(names)
            if spec.signature.get(name, "").startswith("*")
        },
    )
    # Lines of the source would put this machine's paths into the file. A product and a sum stay two roundings unless
    # the kernel says fma, as in the library for the CPU.
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True
        options = {"num_warps": spec.num_warps, "num_stages": spec.num_stages, "enable_fp_fusion": False}
        return triton.compile(source, target=GPUTarget("cuda", target, _WARP), options=options)


if __name__ == "__main__":
    main()
