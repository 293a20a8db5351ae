"""The encoder of a VQ model as a graph, and the proof that the graph gives the model's codes.

Two codes may be so nearly equally far from a place of a picture that the rounding of float32 decides between them, and
it rounds otherwise in torch than in ONNX Runtime. So the tokens of the data are those that the graph gives, as it will
give them from the bundle; and the model, in float64, judges them: where its code is another one, the graph's must be as
near but for what an error of the graphs' limit can make of it. What it says of pictures that every machine can make
travels with the graph, so that an export judges it without the model.
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
from ...modalities.model_image_tokens import UNDECIDED, ModelImageTokenizer, code_spec, judged_pixels

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
    network: Any, proof: CodeProof, side: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> ModelImageTokenizer:
    """The encoder of a VQ model of transformers up to its codes, traced.

    Args:
        network: a ChameleonVQVAE, JanusVQVAE or Emu3VQVAE in float32, eval mode.
        proof: of this network.
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
    scales = np.array(mean, np.float32), np.array(deviation, np.float32)
    judged = np.array([proof.codes(pixels) for pixels in judged_pixels(side, *scales)])
    return ModelImageTokenizer(np.frombuffer(content, np.uint8), *scales, num_codes, judged)


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
        own, possible = self._judged(pixels)
        found = np.array(codes)
        if own.shape != found.shape:
            raise ExportError(f"the graph of the image model gives {len(found)} codes, the model {len(own)}.")
        if (wrong := np.flatnonzero(~possible[np.arange(len(own)), found])).size:
            place = wrong[0]
            raise ExportError(
                f"the graph of the image model gives code {found[place]} at place {place}, the model {own[place]}, and "
                f"they are no tie: {len(wrong)} of {len(own)} codes differ. No tokens were made; report the model."
            )

    def codes(self, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
        """The model's codes of a picture, int64 [codes]; UNDECIDED where rounding may make it another one."""
        own, possible = self._judged(pixels)
        return np.where(possible.sum(axis=1) == 1, own, UNDECIDED)

    def _judged(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The model's code at every place, int64 [places], and which ones a graph may give, bool [places, codes]."""
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
        own = distances.argmin(axis=1)
        gaps = distances - distances.min(axis=1, keepdims=True)
        # A place that is off by e changes a difference of distances by 2 |e| times the distance of the codes, at most.
        apart = np.sqrt((squares[own, None] + squares - 2 * self._codebook[own] @ self._codebook.T).clip(0))
        error = _ERROR_LIMIT * np.sqrt(np.square(places).mean() * places.shape[1])
        largest = np.square(places).sum(axis=1, keepdims=True) + np.maximum(squares, squares[own, None])
        return own, gaps <= 2 * error * apart + _ROUNDING * largest
