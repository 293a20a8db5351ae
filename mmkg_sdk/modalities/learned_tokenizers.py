"""The file tokenizers.safetensors: what makes the tokens of texts and pictures, by modality.

Of a text tokenizer NAME.pieces (uint8: UTF-8, a line feed between two), NAME.num_texts_of (int64 [pieces]) and
NAME.num_texts (int64 [1]); of an image tokenizer NAME.view_0 to NAME.view_12 (int16 [codes, width]). For AdaMF-MAT also
NAME.codebook (float32 [tokens, width]), of whose rows features are made.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files.tensors import tensors_in, write_tensors
from .image_tokens import ImageTokenizer
from .image_views import MOST, WIDTHS
from .text_tokens import TextTokenizer
from .tokenizer_rules import UNKNOWN

AnyTokenizer: TypeAlias = TextTokenizer | ImageTokenizer

TOKENIZERS = "tokenizers.safetensors"
_MOST_BYTES = 64 << 20
_CODEBOOK = ".codebook"


def packed_tokenizers(
    tokenizers: Mapping[str, AnyTokenizer], codebooks: Mapping[str, NDArray[np.float32]] | None = None
) -> bytes:
    """The content of the file."""
    arrays: dict[str, NDArray[Any]] = {f"{name}{_CODEBOOK}": own for name, own in (codebooks or {}).items()}
    for name, one in tokenizers.items():
        if isinstance(one, ImageTokenizer):
            arrays |= {f"{name}.view_{place}": centres for place, centres in enumerate(one.centres)}
            continue
        arrays[f"{name}.pieces"] = np.frombuffer("\n".join(one.pieces).encode(), np.uint8)
        arrays[f"{name}.num_texts_of"] = one.num_texts_of
        arrays[f"{name}.num_texts"] = np.array([one.num_texts])
    file = io.BytesIO()
    write_tensors(file, arrays)
    return file.getvalue()


def parsed_tokenizers(content: memoryview, path: Path) -> dict[str, AnyTokenizer]:
    """The tokenizers of a file's content by modality; the path is for messages.

    Raises:
        DataError: it is too large, or not as the module says.
    """
    from safetensors import SafetensorError

    if len(content) > _MOST_BYTES:
        raise DataError(f"{path} has {len(content):,} bytes; tokenizers have at most {_MOST_BYTES:,}.")
    parts: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        for name, array in tensors_in(content).items():
            if name.endswith(_CODEBOOK):
                continue
            modality, _, part = name.rpartition(".")
            parts.setdefault(modality, {})[part] = array
        return {modality: (_text if "pieces" in own else _image)(own) for modality, own in parts.items()}
    except (SafetensorError, ValueError) as err:
        raise DataError(f"{path} holds no tokenizers ({str(err)[:200]}). Make it again with what wrote it.") from err


def parsed_codebooks(content: memoryview, path: Path) -> dict[str, NDArray[np.float32]]:
    """The codebooks of a file that `parsed_tokenizers` read, by modality.

    Raises:
        DataError: one is no matrix of finite numbers.
    """
    found = {
        name.removesuffix(_CODEBOOK): array for name, array in tensors_in(content).items() if name.endswith(_CODEBOOK)
    }
    for name, array in found.items():
        if array.dtype != np.float32 or array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
            raise DataError(
                f"{path}: the codebook of {name!r:.80} is {array.dtype} {list(array.shape)}; expected finite float32 "
                "[tokens, width]. Make it again with what wrote it."
            )
    return found


def _text(parts: Mapping[str, NDArray[Any]]) -> TextTokenizer:
    if {name: (array.dtype.name, array.ndim) for name, array in parts.items()} != {
        "pieces": ("uint8", 1),
        "num_texts_of": ("int64", 1),
        "num_texts": ("int64", 1),
    }:
        raise ValueError(f"a text tokenizer of {', '.join(sorted(parts))}, of other types or shapes")
    pieces, counts = parts["pieces"].tobytes().decode().split("\n"), parts["num_texts_of"]
    if len(set(pieces)) != len(pieces) or "" in pieces or UNKNOWN not in pieces:
        raise ValueError(f"pieces that are empty, stand there twice, or lack {UNKNOWN}")
    if parts["num_texts"].shape != (1,) or counts.shape != (len(pieces),):
        raise ValueError(f"counts of {len(counts):,} pieces, of which there are {len(pieces):,}")
    if counts.min() < 0 or counts.max() > parts["num_texts"][0]:
        raise ValueError("a piece of more texts than there are, or of fewer than none")
    return TextTokenizer(tuple(pieces), counts, int(parts["num_texts"][0]))


def _image(parts: Mapping[str, NDArray[Any]]) -> ImageTokenizer:
    names = [f"view_{place}" for place in range(len(WIDTHS))]
    if sorted(names) != sorted(parts):
        raise ValueError(f"an image tokenizer of {', '.join(sorted(parts))}; expected {', '.join(names)}")
    for name, width in zip(names, WIDTHS, strict=True):
        view = parts[name]
        if view.dtype != np.int16 or view.ndim != 2 or view.shape[1] != width or not len(view):
            raise ValueError(f"{name} is {view.dtype} {list(view.shape)}; expected int16 [codes, {width}]")
        if view.min() < 0 or view.max() > MOST:
            raise ValueError(f"{name} holds numbers outside 0 to {MOST}")
    return ImageTokenizer(tuple(parts[name] for name in names))
