"""A program for test_device_path.py: a bundle answers on a GPU that is none, by ids in and ids out.

The graphs run in ONNX Runtime on the CPU; tables, queries and answers go through the calls of NVIDIA's driver, behind
which a stand-in has the host's memory and runs the kernels of the scan in Triton's interpreter. Prints what was
answered and what travelled, as JSON. Needs TRITON_INTERPRET=1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.backends import AnyArray, DeviceArray, tables
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.streams import own_stream
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels.cuda.triton.specs import all_kernels
from mmkg_sdk.kernels.gpu import Gpu, GpuArray
from mmkg_sdk.kernels.gpu import library as gpu_library
from tests.kernels.gpu.fake_driver.driver import FakeDriver, compile_driver
from tests.kernels.gpu.fake_driver.interpreted import InterpretedLaunches, fake_image
from tests.kernels.gpu.fake_driver.mended import mend_interpreter

from .questions import questions


class StandInBackend(OnnxRuntimeBackend):
    """Graphs on the CPU, arrays on the GPU that is none."""

    def place(self, array: Any) -> DeviceArray:
        return Gpu.open().array(array)

    def run(self, graph: str, *arguments: Any) -> dict[str, NDArray[Any]]:
        with self._on_cpu():
            return super().run(graph, *arguments)

    def run_placed(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, DeviceArray]:
        with self._on_cpu():
            outputs = super().run_placed(graph, inputs)
        return {name: self.place(output.numpy()) for name, output in outputs.items()}

    def prepare(self, graph: str) -> None:
        """When it is run."""

    def stream(self) -> int:
        return own_stream("cuda")

    @contextmanager
    def _on_cpu(self) -> Iterator[None]:
        """Where graphs run."""
        self.device = "cpu"
        try:
            yield
        finally:
            self.device = "cuda"


def main(bundle: Path, folder: Path) -> None:
    mend_interpreter()
    path = compile_driver(folder)
    os.environ["MMKG_CUDA_DRIVER"] = str(path)
    os.environ["FAKE_CUDA_CAPABILITY"] = "90"
    gpu_library.IMAGE_FILE = folder / "image.bin"
    gpu_library.IMAGE_FILE.write_bytes(fake_image(all_kernels(), 90))
    launches = InterpretedLaunches(all_kernels(), 90)
    FakeDriver(path).set_launcher(launches.launcher)
    read_back: list[tuple[int, ...]] = []
    read = GpuArray.numpy

    def numpy(self: GpuArray, stream: Any = None) -> Any:
        read_back.append(self.shape)
        return read(self, stream)

    GpuArray.numpy = numpy  # type: ignore[method-assign]
    tables.MAX_K = 4  # so that twelve answers come in three parts
    found = {}
    for compiled in (False, True):
        launches.launched.clear()
        model = Model(Bundle.open(bundle), StandInBackend(Bundle.open(bundle), "cuda", 1), compiled=compiled)
        asked = questions(model)[: 1 if compiled else None]  # the interpreter takes its time
        found["kernels" if compiled else "graphs"] = {
            "answers": [[[row.ids.tolist(), row.scores.tolist()] for row in answer] for answer in asked],
            "read_back": read_back,
            "repr": repr(model),
            "stream": model.backend.stream(),
            "launched": sorted(set(launches.launched)),
        }
        model.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
