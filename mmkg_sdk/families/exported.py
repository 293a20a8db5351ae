"""Building blocks of exported graphs that families share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# One step along an axis: the state and a slice of each input -> the next state, and what is kept of the step.
Step = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]]

# Answers that "complete" gives.
TOP_K = 100
# Of the weights that are multiplied, by precision; those of quantised graphs are rounded in the graph.
DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": torch.float32,
    "fp8": torch.float32,
}


class Linear(nn.Module):
    """x W + b with W [in, out] in the graph's precision; takes and gives float32."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.multiplied_weight = nn.Buffer(weight.detach().T.contiguous())
        self.bias = nn.Buffer(bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x.to(self.multiplied_weight.dtype), self.multiplied_weight).float() + self.bias


class Norm(nn.Module):
    """Layer norm, always float32."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Buffer(norm.weight.detach()), nn.Buffer(norm.bias.detach()), norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def linear(layer: nn.Module) -> Linear:
    """A linear layer to be exported; zeros where it has no bias."""
    assert isinstance(layer, nn.Linear)
    bias = layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
    return Linear(layer.weight, bias)


def scan(step: Step, state: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The last state and all outputs of `step` along the first axis; exported as one Scan instead of every step."""
    if torch.compiler.is_exporting():
        from torch._higher_order_ops import scan as exported_scan  # there is no public name yet

        found: tuple[Tensor, tuple[Tensor, ...]] = exported_scan(step, state, inputs)
        return found
    outputs = []
    for position in range(len(inputs[0])):
        state, output = step(state, tuple(part[position] for part in inputs))
        outputs.append(output)
    return state, tuple(torch.stack(kept) for kept in zip(*outputs, strict=True))


def set_dtype(module: nn.Module, dtype: torch.dtype) -> None:
    """float32 everywhere, except the weights that are multiplied (named multiplied_...), which get `dtype`."""
    module.float()
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if name.startswith("multiplied_"):
                setattr(part, name, nn.Buffer(buffer.to(dtype)))


def load_weights(
    skeleton: Callable[[], dict[str, nn.Module]],
    weights: dict[str, Tensor],
) -> dict[str, nn.Module]:
    """The modules of a bundle with its weights, named GRAPH.WEIGHT; without "complete", which adds none.

    Args:
        skeleton: makes the modules with any weights, or none (torch's meta device).
        weights: become those of the modules.

    Raises:
        RuntimeError: if a weight is missing, unknown or misshapen.
    """
    modules = skeleton()
    modules.pop("complete", None)
    for graph, module in modules.items():
        prefix = f"{graph}."
        own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        module.load_state_dict(own, assign=True)
    return modules
