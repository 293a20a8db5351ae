"""MyGO's entity encoder as published, every layer for every position: in no bundle, made for comparison.

Who exports the authors' model as it is gets this graph. It is traced from the bundle's own weights.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...backends.torch import torch_weights
from ...bundle import Bundle
from ...bundle.graph_specs import GraphSpec
from .config import MyGOConfig
from .graphs import EntityEncoder, graph_specs, load_modules


class PlainEncoder(nn.Module):
    """The numbers of EntityEncoder, up to rounding."""

    def __init__(self, encoder: EntityEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, structure: Tensor, *given: Tensor, **named: Tensor) -> Tensor:
        sequence, bias = self.encoder.sequence(structure, given, named)
        for layer in self.encoder.layers:
            sequence = layer(sequence, sequence, bias)
        return sequence[:, 0]


def read_plain_encoder(bundle: Bundle) -> tuple[PlainEncoder, GraphSpec]:
    """The module, and the signature that it has in common with the graph "entity_encoder"."""
    config = MyGOConfig.of(bundle.config)
    modules = load_modules(config, bundle.precision, torch_weights(bundle))
    encoder = modules["entity_encoder"]
    assert isinstance(encoder, EntityEncoder)
    return PlainEncoder(encoder), graph_specs(config)["entity_encoder"]
