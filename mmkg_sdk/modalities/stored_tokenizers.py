"""The file tokenizers.safetensors: what makes the tokens of texts and pictures, by modality.

Of learned texts NAME.pieces (uint8: UTF-8, a line feed between two), NAME.num_texts_of (int64 [pieces]) and
NAME.num_texts (int64 [1]); of a language model's NAME.rules (uint8, JSON) and NAME.rows (int64 [tokens]), see
model_text_tokens.py; of learned pictures NAME.view_0 to NAME.view_12 (int16 [codes, width]); of a VQ model's NAME.graph
(uint8, an ONNX file), NAME.mean and NAME.deviation (float32 [3]), NAME.num_codes (int64 [1]) and NAME.judged (int64
[2, codes]), see model_image_tokens.py. For AdaMF-MAT also NAME.codebook (float32 [tokens, width]), of whose rows
features are made.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files.tensors import tensors_in, write_tensors
from .image_tokens import ImageTokenizer
from .model_image_tokens import ModelImageTokenizer
from .model_text_tokens import ModelTextTokenizer
from .readers import AnyReader, listed_parts
from .text_tokens import TextTokenizer

TOKENIZERS = "tokenizers.safetensors"
_CODEBOOK = ".codebook"
# By a part that no other kind has.
_KINDS: Mapping[str, type[AnyReader]] = {
    "pieces": TextTokenizer,
    "rules": ModelTextTokenizer,
    "view_0": ImageTokenizer,
    "graph": ModelImageTokenizer,
}


def packed_tokenizers(
    tokenizers: Mapping[str, AnyReader], codebooks: Mapping[str, NDArray[np.float32]] | None = None
) -> bytes:
    """The content of the file."""
    arrays: dict[str, NDArray[Any]] = {f"{name}{_CODEBOOK}": own for name, own in (codebooks or {}).items()}
    for name, one in tokenizers.items():
        arrays |= {f"{name}.{part}": array for part, array in one.parts().items()}
    file = io.BytesIO()
    write_tensors(file, arrays)
    return file.getvalue()


def parsed_tokenizers(content: memoryview, path: Path) -> dict[str, AnyReader]:
    """The tokenizers of a file's content by modality; the path is for messages.

    Raises:
        DataError: it is not as the module says.
    """
    from safetensors import SafetensorError

    parts: dict[str, dict[str, NDArray[Any]]] = {}
    try:
        for name, array in tensors_in(content).items():
            if name.endswith(_CODEBOOK):
                continue
            modality, _, part = name.rpartition(".")
            parts.setdefault(modality, {})[part] = array
        return {modality: _reader(own) for modality, own in parts.items()}
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


def _reader(parts: Mapping[str, NDArray[Any]]) -> AnyReader:
    """The tokenizer whose parts these are."""
    for part, kind in _KINDS.items():
        if part in parts:
            return kind.of_parts(parts)
    raise ValueError(f"a tokenizer of {listed_parts(parts)}; each kind has one of {', '.join(_KINDS)}")
