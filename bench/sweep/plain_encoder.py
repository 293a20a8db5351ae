"""MyGO's entity encoder as published, every layer for every position: in no bundle, made for comparison.

Who exports the authors' model as it is gets this graph. It is traced from the bundle's own weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo.graphs import EntityEncoder, graph_specs, load_modules

from .sized_graphs import open_session

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


class PlainEncoder(nn.Module):
    """The numbers of EntityEncoder, up to rounding."""

    def __init__(self, encoder: EntityEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(
        self, structure: Tensor, visual_tokens: Tensor, visual_mask: Tensor, text_tokens: Tensor, text_mask: Tensor
    ) -> Tensor:
        sequence, bias = self.encoder.sequence(structure, visual_tokens, visual_mask, text_tokens, text_mask)
        for layer in self.encoder.layers:
            sequence = layer(sequence, sequence, bias)
        return sequence[:, 0]


def open_plain_encoder(bundle: Bundle, backend: str, threads: int) -> Run:
    """What runs it: inputs of the graph "entity_encoder" by name -> its outputs by name.

    Args:
        backend: "torch" or "onnxruntime".

    Raises:
        BackendError: onnxruntime is missing, or does not take the precision.
    """
    torch.set_num_threads(threads)
    modules = load_modules(bundle.config, bundle.precision, load_file(bundle.path / "weights.safetensors"))
    encoder, spec = modules["entity_encoder"], graph_specs(bundle.config)["entity_encoder"]
    assert isinstance(encoder, EntityEncoder)
    module = PlainEncoder(encoder)
    if backend == "onnxruntime":
        session = open_session(module, spec, threads)
        return lambda arrays: {"vectors": session.run(["vectors"], dict(arrays))[0]}

    def run(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            return {"vectors": module(*(torch.from_numpy(arrays[tensor.name]) for tensor in spec.inputs)).numpy()}

    return run
