"""The encoder of a VQ model as a graph, and the proof that the graph gives the model's codes.

Two codes may be so nearly equally far from a place of a picture that the rounding of float32 decides between them, and
it rounds otherwise in torch than in ONNX Runtime. So the tokens of the data are those that the graph gives, as it will
give them from the bundle; and the model, in float64, judges them: where its code is another one, the graph's must be as
near but for what an error of the graphs' limit can make of it.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...bundle import tracing
from ...errors import ExportError
from ...modalities.model_image_tokens import ModelImageTokenizer, code_spec

# Of what is compared with the codebook, as a share of its root mean square: the limit of fp32 graphs.
_ERROR_LIMIT = 5e-5
# Of a distance, as a share of the squares that it is the small rest of: some units of float32.
_ROUNDING = 1e-6


class Codes(nn.Module):
    """The encoder of a VQ model up to its codes: float32 [1, 3, side, side] -> int64 [codes]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder, self.quant_conv, self.quantize = network.encoder, network.quant_conv, network.quantize
        # Emu3 reads films; of a picture, so many frames that are alike.
        self.frames = getattr(network.config, "temporal_downsample_factor", None)

    def forward(self, pixels: Tensor) -> Tensor:
        if self.frames is None:
            codes: Tensor = self.quantize(self.quant_conv(self.encoder(pixels)))[-1]
            return codes.flatten()
        encoded = self.encoder(pixels.unsqueeze(1).repeat(1, self.frames, 1, 1, 1)).permute(0, 2, 1, 3, 4)
        codes = self.quantize(self.quant_conv(encoded).permute(0, 2, 1, 3, 4))
        return codes.flatten()


def image_tokenizer(
    network: Any, side: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> ModelImageTokenizer:
    """The encoder of a VQ model of transformers up to its codes, traced.

    Args:
        network: a ChameleonVQVAE, JanusVQVAE or Emu3VQVAE in float32, eval mode.
        side: of its square input, in pixels.
        mean, deviation: of each channel of its pixels.

    Raises:
        ExportError: torch cannot export it.
    """
    module = Codes(network).eval()
    with torch.inference_mode():
        count = len(module(torch.zeros(1, 3, side, side)))
    content = tracing.trace_graph(module, code_spec(side, count)).SerializeToString()
    num_codes = len(network.quantize.embedding.weight)
    return ModelImageTokenizer(
        np.frombuffer(content, np.uint8), np.array(mean, np.float32), np.array(deviation, np.float32), num_codes
    )


class CodeProof:
    """Judges the codes of a graph by the model's own `encode`, in float64."""

    def __init__(self, network: Any) -> None:
        self._network = copy.deepcopy(network).double()
        self._codebook = self._network.quantize.embedding.weight.detach().numpy()
        self._compared: list[Tensor] = []
        self._network.quantize.register_forward_pre_hook(lambda _, given: self._compared.append(given[0]))

    def check(self, pixels: NDArray[np.float32], codes: list[int]) -> None:
        """Raise ExportError where a code is none that the model could have given.

        Args:
            pixels: float32 [1, 3, side, side].
            codes: the graph's.
        """
        self._compared.clear()
        given = torch.from_numpy(pixels).double()
        with torch.inference_mode():
            if hasattr(self._network.config, "temporal_downsample_factor"):
                self._network.encode(given, image_sizes=torch.tensor([pixels.shape[-2:]]))
            else:
                self._network.encode(given)
        places = self._compared[0].movedim(-3, -1).flatten(0, -2).numpy()
        squares = np.square(self._codebook).sum(axis=1)
        distances = squares - 2 * places @ self._codebook.T
        own, found = distances.argmin(axis=1), np.array(codes)
        if own.shape != found.shape:
            raise ExportError(f"the graph of the image model gives {len(found)} codes, the model {len(own)}.")
        rows = np.arange(len(own))
        gaps = distances[rows, found] - distances[rows, own]
        # A place that is off by e changes a difference of distances by 2 |e| times the distance of the codes, at most.
        apart = np.linalg.norm(self._codebook[found] - self._codebook[own], axis=1)
        error = _ERROR_LIMIT * np.sqrt(np.square(places).mean() * places.shape[1])
        rounding = _ROUNDING * (np.square(places).sum(axis=1) + np.maximum(squares[found], squares[own]))
        if (wrong := np.flatnonzero(gaps > 2 * error * apart + rounding)).size:
            place = wrong[0]
            raise ExportError(
                f"the graph of the image model gives code {found[place]} at place {place}, the model {own[place]}, and "
                f"they are no tie: {len(wrong)} of {len(own)} codes differ. No tokens were made; report the model."
            )
