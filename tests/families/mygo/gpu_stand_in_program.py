"""The stand-ins of a bundle on a GPU that is none, and on the CPU. A process of its own, with TRITON_INTERPRET=1.

    python -m tests.families.mygo.gpu_stand_in_program BUNDLE FOLDER

Writes what they give to FOLDER/found.npz. The library's launchers run for real, the kernels in Triton's interpreter
behind a stand-in for NVIDIA's driver.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo.runtime import bundle_entities, stand_ins
from mmkg_sdk.kernels.cuda.triton.specs import all_kernels
from mmkg_sdk.kernels.gpu import Gpu
from mmkg_sdk.kernels.gpu import library as gpu_library
from mmkg_sdk.ranking.known_triples import Queries
from tests.kernels.gpu.fake_driver.driver import FakeDriver, compile_driver
from tests.kernels.gpu.fake_driver.interpreted import InterpretedLaunches, fake_image
from tests.kernels.gpu.fake_driver.mended import mend_interpreter

TARGET = 90


def main(bundle: Bundle, folder: Path) -> None:
    mend_interpreter()
    path = compile_driver(folder)
    os.environ |= {"MMKG_CUDA_DRIVER": str(path), "FAKE_CUDA_CAPABILITY": str(TARGET)}
    kernels = all_kernels()
    gpu_library.IMAGE_FILE = folder / "image.bin"
    gpu_library.IMAGE_FILE.write_bytes(fake_image(kernels, TARGET))
    launches = InterpretedLaunches(kernels, TARGET)
    FakeDriver(path).set_launcher(launches.launcher)

    entity = np.arange(len(bundle.entities))
    queries = Queries(entity, entity % len(bundle.relations), entity % 2)
    longer = np.concatenate([bundle.table, bundle.table[:1] * 2])
    grown = Queries(np.array([len(entity)]), np.array([0]), np.array([1]))
    found = {}
    for device in ("cpu", "cuda:0"):
        ways = stand_ins(bundle, device, 1)
        assert ways.query is not None
        assert ways.encoder is not None
        kind = device[:4].rstrip(":")
        found[f"queries {kind}"] = ways.query.query_vectors(bundle.table, queries)
        found[f"grown {kind}"] = ways.query.query_vectors(longer, grown)
        found[f"vectors {kind}"] = ways.encoder.encode(bundle_entities(bundle))["vectors"]
        stream = Gpu.open().stream()
        placed = ways.query.placed_query_vectors(bundle.table, queries, stream.handle)
        stream.synchronize()
        found[f"placed {kind}"] = np.empty(0) if placed is None else placed.numpy()
    np.savez(folder / "found.npz", **found, launched=np.array(sorted(set(launches.launched))))


if __name__ == "__main__":
    main(Bundle.open(Path(sys.argv[1])), Path(sys.argv[2]))
