"""Images to tokens: with a VQ model of transformers, or with codebooks learned from the images themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...backends import use_torch_threads
from ...errors import DataError, missing_package
from ...modalities.model_image_tokens import ModelImageTokenizer
from ...modalities.readers import ImageReader
from ..graph import RawTokens
from ..images.files import UnreadableImage, readable_images
from .learned_patches import learn_image_tokens
from .learned_views import learn_view_tokens

if TYPE_CHECKING:
    from PIL.Image import Image

LEARNED = "learned"
LEARNED_VIEWS = "learned-views"
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
# Each takes the model in float64, which is several times slower than the graph.
_PROVED_IMAGES = 16


@dataclass(frozen=True)
class _VQModel:
    """How one model type wants its pixels: class name, and mean and deviation per channel."""

    class_name: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


# The model types of transformers that encode an image on their own and keep a codebook of embeddings.
_VQ_MODELS = {
    "chameleon_vqgan": _VQModel("ChameleonVQVAE", _HALF, _HALF),
    "janus_vqgan": _VQModel("JanusVQVAE", _HALF, _HALF),
    "emu3_vqgan": _VQModel("Emu3VQVAE", _CLIP_MEAN, _CLIP_STD),
}


def tokenize_images(
    images: Mapping[str, Sequence[Path]], model: str = LEARNED
) -> tuple[RawTokens, list[UnreadableImage]]:
    """All tokens of all images of every entity, and the images that could not be read.

    Args:
        images: entity label -> image files. An entity with no readable image is left out of the lists.
        model: "learned" for colour patches, "learned-views" for what pictures look like as a whole and in parts, or the
            name or local folder of a transformers ChameleonVQVAE, JanusVQVAE or
            Emu3VQVAE. Images are resized to the square the model was made for, without cropping; its codes are those of
            its encoder as a graph on ONNX Runtime, in float32 (vq_graphs.py).

    Returns:
        RawTokens with vocabulary_size = codebook rows and pad_id = rows - 1; the images left out, with
        reasons.

    Raises:
        DataError: if no image can be read, or the model cannot be loaded or is of another kind.
        ExportError: if its encoder cannot be made a graph, or the graph gives other codes than the model.
        BackendError: if a package is missing.
    """
    if not any(images.values()):
        raise DataError("there is no image to tokenize. Give a folder of images: --images DIR.")
    unreadable: list[UnreadableImage] = []
    readable = readable_images(images, unreadable)
    made_by: ImageReader | None = None
    if model == LEARNED:
        lists, codebook = learn_image_tokens(readable)
    elif model == LEARNED_VIEWS:
        lists, codebook, made_by = learn_view_tokens(readable)
    else:
        lists, codebook, made_by = _model_tokens(readable, model)
    if not lists:
        first = f" The first: {unreadable[0].path}: {unreadable[0].reason}" if unreadable else ""
        raise DataError(f"none of the {sum(map(len, images.values()))} images can be read.{first}")
    # Of a local folder its name only: where it lay is nobody's business.
    tokenizer = "learned-patches" if model == LEARNED else Path(model).name
    return RawTokens(lists, codebook, len(codebook), len(codebook) - 1, tokenizer, made_by), unreadable


def _model_tokens(
    images: Iterable[tuple[str, Image]], model: str
) -> tuple[dict[str, list[int]], NDArray[np.float32], ModelImageTokenizer]:
    use_torch_threads()
    network, kind, side = _load(model)
    from .vq_graphs import CodeProof, image_tokenizer

    proof = CodeProof(network)
    tokenizer = image_tokenizer(network, proof, side, kind.mean, kind.deviation)
    lists: dict[str, list[int]] = {}
    for number, (entity, image) in enumerate(images):
        codes = tokenizer.tokens(image)
        if number < _PROVED_IMAGES:
            proof.check(tokenizer.pixels(image), codes)
        lists.setdefault(entity, []).extend(codes)
    codebook = network.quantize.embedding.weight.detach().numpy().astype(np.float32, copy=True)
    return lists, codebook, tokenizer


def _load(model: str) -> tuple[Any, _VQModel, int]:
    """The network in eval mode, its kind, and the side of its square input in pixels."""
    for package in ("torch", "transformers", "onnx", "onnxscript"):
        if find_spec(package) is None:
            raise missing_package(package, "train", "tokenizing with a VQ model")
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(model)
        kind = _VQ_MODELS.get(config.model_type)
        if kind is not None:
            module = __import__(f"transformers.models.{config.model_type.split('_')[0]}", fromlist=[kind.class_name])
            network = getattr(module, kind.class_name).from_pretrained(model).float().eval()
    except Exception as err:  # transformers raises OSError, ValueError, KeyError and others here
        first = (str(err).strip().splitlines() or [type(err).__name__])[0]
        raise DataError(
            f"image model {model!r} cannot be loaded: {first[:300]} Give a transformers VQ model, {LEARNED!r} or "
            f"{LEARNED_VIEWS!r}."
        ) from err
    if kind is None:
        known = ", ".join(_VQ_MODELS)
        raise DataError(
            f"image model {model!r} is of type {config.model_type!r}; expected one of {known}, or {LEARNED!r} or "
            f"{LEARNED_VIEWS!r}."
        )
    shrink = 2 ** (len(config.channel_multiplier) - 1)
    if config.model_type == "chameleon_vqgan":
        side = int(config.resolution)
    elif config.model_type == "janus_vqgan":
        side = int(config.num_patches) * shrink
    else:
        side = 32 * shrink  # Emu3 takes any size; 32 x 32 codes are 1,024 tokens per image
    return network, kind, side
