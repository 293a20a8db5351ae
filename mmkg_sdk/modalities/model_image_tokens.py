"""Pictures to the codes of a VQ model, as `data tokenize --image-model` made them: by its encoder as a graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, open_backend
from ..bundle import Bundle
from ..bundle.external_data import external_data
from ..bundle.graph_specs import GraphSpec, TensorSpec
from ..bundle.onnx_signature import onnx_signature
from ..errors import BackendError
from .image_views import Box
from .readers import Parts, listed_parts

if TYPE_CHECKING:
    from PIL.Image import Image

GRAPH = "image_codes"
UNDECIDED = -1  # in the place of a code
_JUDGED = 2  # pictures
_LARGEST_SIDE, _MOST_CODES = 2048, 1 << 16


@dataclass(frozen=True)
class ModelImageTokenizer:
    """The encoder of a VQ model up to the codes, and how it wants its pixels.

    Attributes:
        graph: an ONNX file with its weights inside, uint8 [bytes]: pixels float32 [1, 3, side, side] -> codes int64
            [n].
        mean, deviation: of each channel of pixels from 0 to 1, float32 [3].
        num_codes: rows of the codebook.
        judged: of each picture of `judged_pixels` the model's own codes, in float64; UNDECIDED where the rounding of
            float32 may make it another one; int64 [pictures, n].
    """

    reads: ClassVar[Literal["images"]] = "images"

    graph: NDArray[np.uint8]
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    num_codes: int
    judged: NDArray[np.int64]

    @classmethod
    def of_parts(cls, parts: Parts) -> Self:
        """See ImageReader.of_parts; the graph is opened with the first picture."""
        expected = {"graph": "uint8", "mean": "float32", "deviation": "float32"}
        expected |= {"num_codes": "int64", "judged": "int64"}
        if {name: array.dtype.name for name, array in parts.items()} != expected:
            raise ValueError(f"an image tokenizer of {listed_parts(parts)}, of other types")
        mean, deviation = parts["mean"], parts["deviation"]
        if {mean.shape, deviation.shape} != {(3,)} or not np.isfinite(mean).all() or not (deviation > 0).all():
            raise ValueError(f"mean {mean} and deviation {deviation}; expected three numbers each, the second above 0")
        if parts["num_codes"].shape != (1,) or parts["num_codes"][0] < 1 or parts["graph"].ndim != 1:
            raise ValueError(f"num_codes {parts['num_codes']}; expected one number from 1")
        found = cls(parts["graph"], mean, deviation, int(parts["num_codes"][0]), parts["judged"])
        if any(True for _ in external_data(found._content)):
            raise ValueError("the graph reads weights from another file")
        if found.spec is None:
            raise ValueError("the graph takes or gives something else than pixels and codes")
        if found.judged.shape != (_JUDGED, *found.spec.outputs[0].sizes("typical")):
            raise ValueError(f"judged {list(found.judged.shape)}; expected the codes of {_JUDGED} pictures")
        return found

    def parts(self) -> dict[str, NDArray[Any]]:
        """See ImageReader.parts."""
        numbers = {"mean": self.mean, "deviation": self.deviation, "num_codes": np.array([self.num_codes])}
        return {"graph": self.graph, "judged": self.judged, **numbers}

    @property
    def size(self) -> int:
        """See ImageReader.size."""
        return self.num_codes

    def place(self, token: int) -> Box | None:
        """None: a code may stand anywhere in a picture."""
        return None

    def pixels(self, image: Image) -> NDArray[np.float32]:
        """What the graph is fed of a picture in RGB: resized to its square, uncropped; float32 [1, 3, side, side]."""
        resized = image.resize((self._side, self._side), resample=3)  # bicubic
        return _scaled(np.asarray(resized), self.mean, self.deviation)

    def tokens(self, image: Image) -> list[int]:
        """The codes of a picture in RGB, row by row.

        Raises:
            BackendError: ONNX Runtime is missing, does not take the graph, or gives what is no code.
        """
        codes = self._codes(self.pixels(image))
        if codes.min() < 0 or codes.max() >= self.num_codes:
            raise BackendError(
                f"the graph of the image tokenizer gave codes {codes.min()} to {codes.max()}; there are "
                f"{self.num_codes:,}. Make the tokens again with `mmkg-sdk data tokenize`."
            )
        found: list[int] = codes.tolist()
        return found

    def share_wrong(self) -> float:
        """The share of the judged pictures' decided codes at which the graph gives another one.

        Raises:
            BackendError: as `tokens`.
        """
        pictures = judged_pixels(self._side, self.mean, self.deviation)
        found = np.stack([self._codes(pixels) for pixels in pictures])
        decided = self.judged != UNDECIDED
        return float((found != self.judged)[decided].mean()) if decided.any() else 0.0

    def _codes(self, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self._backend.run(GRAPH, {"pixels": pixels})["codes"]
        return found

    @property
    def _side(self) -> int:
        assert self.spec is not None
        return self.spec.inputs[0].sizes("typical")[-1]

    @property
    def _content(self) -> memoryview:
        return self.graph.data

    @cached_property
    def spec(self) -> GraphSpec | None:
        """The signature of the graph; None where it is another than `code_spec` writes."""
        signature = onnx_signature(self._content)
        shapes = [tensor["shape"] for kind in ("inputs", "outputs") for tensor in signature[kind]]
        if [len(shape) for shape in shapes] != [4, 1] or not all(isinstance(n, int) for shape in shapes for n in shape):
            return None
        side, count = shapes[0][-1], shapes[1][0]
        spec = code_spec(side, count)
        fits = 0 < side <= _LARGEST_SIDE and 0 < count <= _MOST_CODES
        return spec if fits and signature == {kind: spec.to_json()[kind] for kind in signature} else None

    @cached_property
    def _backend(self) -> Backend:
        """Runs the graph as those of a bundle are run, of which it is the only one.

        On the CPU whatever the model runs on: the codes are those of the training data, which were made there.
        """
        assert self.spec is not None
        manifest = {"graphs": {GRAPH: self.spec.to_json()}, "precision": "fp32"}
        bundle = Bundle(Path("tokenizers.safetensors"), manifest, {}, {}, {self.spec.file_name: self._content})
        return open_backend(bundle, "onnxruntime", "cpu")


def code_spec(side: int, count: int) -> GraphSpec:
    """The signature of an encoder of pictures of `side` pixels with `count` codes."""
    pixels = TensorSpec("pixels", "float32", (1, 3, side, side))
    return GraphSpec(GRAPH, (pixels,), (TensorSpec("codes", "int64", (count,)),))


def judged_pixels(side: int, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """What a graph is fed of pictures that every machine can make, of 8 x 8 fields of one colour each.

    Returns:
        float32 [1, 3, side, side] each.
    """
    colours = (np.arange(_JUDGED * 8 * 8 * 3) * 97 % 256).astype(np.uint8).reshape(_JUDGED, 8, 8, 3)
    field = np.arange(side) * 8 // side
    return [_scaled(one[field][:, field], mean, deviation) for one in colours]


def _scaled(
    colours: NDArray[np.uint8], mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> NDArray[np.float32]:
    """A picture uint8 [side, side, 3] as a graph is fed it."""
    values = (colours.astype(np.float32) / 255 - mean) / deviation
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])
