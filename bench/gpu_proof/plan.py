"""What is done, in order of worth, and how long each step may take."""

from __future__ import annotations

from dataclasses import dataclass

# What the limits below add up to, training aside.
PLANNED_MINUTES = 12.0


@dataclass(frozen=True)
class Step:
    """Attributes:
    module, argument: what step.py runs: a module of this package, and what its `run` is told beside the job.
    limit_s: at most so long, of PLANNED_MINUTES; shorter and longer plans have shorter and longer limits.
    packages: without which it is not measured.
    rest: whether it takes all time that is left, rather than its limit.
    """

    name: str
    what: str
    module: str
    limit_s: float
    argument: str = ""
    packages: tuple[str, ...] = ()
    rest: bool = False


PLAN = (
    Step("environment", "machine, driver, versions, and what the GPU can do", "machine", 40),
    Step("kernels", "kernels against float64 and the CPU's to the bit", "exactness", 75),
    Step("sanitizer", "the same under compute-sanitizer", "sanitizer", 50),
    Step("race-kernels", "kernels on random tables", "races", 60, "kernels"),
    Step("race-torch", "torch in bfloat16, in blocks", "races", 40, "torch, bf16 in blocks", ("torch",)),
    Step("race-compiled", "torch in bfloat16, compiled", "races", 40, "torch, bf16 compiled", ("torch",)),
    Step("bundle", "a bundle of DB15K's size with random weights", "shape", 75, packages=("torch", "onnx")),
    Step("queries", "queries as one CUDA graph and by separate launches", "queries", 30),
    Step("encoder", "encoders against token count", "stages", 65, "encoder"),
    Step("onnxruntime", "ONNX Runtime on CUDA: parity and latency", "stages", 45, "onnxruntime", ("onnxruntime",)),
    Step("tensorrt", "engines of TensorRT, or why there are none", "stages", 60, "tensorrt"),
    Step("steps", "training steps per second", "training", 60, "steps", ("torch",)),
    Step("race-onnxruntime", "ONNX Runtime's MatMul and TopK", "races", 30, "onnxruntime, MatMul and TopK"),
    Step("race-flashlib", "flashlib", "races", 20, "flashlib", ("flashlib", "torch")),
    Step("race-jax", "JAX", "races", 30, "jax", ("jax",)),
    Step("training", "MyGO's published training on DB15K, tested", "training", 0, "published", ("torch",), rest=True),
)


def limits(minutes: float) -> dict[str, float]:
    """Seconds that each step may take at most, of a plan of so many minutes; 0 of the one that takes the rest."""
    return {step.name: step.limit_s * minutes / PLANNED_MINUTES for step in PLAN}
