"""Texts to the tokens of a language model, as `data tokenize --text-model` made them, without transformers or torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, missing_package
from ..files.strict_json import parse_json_object
from .model_rules import carried_rules
from .readers import Parts, listed_parts
from .text import MAX_FILE_BYTES, piece_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LEFT_OUT = -1


@dataclass(frozen=True)
class ModelTextTokenizer:
    """The tokenizer of a language model, and what becomes of its tokens.

    Attributes:
        rules: a tokenizer.json of the package tokenizers, of which model_rules.py leaves what makes ids.
        rows: int64 [tokens], the row of the codebook that each id stands for, or LEFT_OUT. As long as the codebook; an
            id behind it is left out, too.
    """

    reads: ClassVar[Literal["texts"]] = "texts"

    rules: bytes
    rows: NDArray[np.int64]

    @classmethod
    def of_parts(cls, parts: Parts) -> Self:
        """See TextReader.of_parts; the rules are read with the first text."""
        if {name: (array.dtype.name, array.ndim) for name, array in parts.items()} != {
            "rules": ("uint8", 1),
            "rows": ("int64", 1),
        }:
            raise ValueError(f"a text tokenizer of {listed_parts(parts)}, of other types or shapes")
        rules, rows = parts["rules"], parts["rows"]
        if len(rules) > MAX_FILE_BYTES:
            raise ValueError(f"rules of {len(rules):,} bytes; expected at most {MAX_FILE_BYTES:,}")
        if not len(rows) or rows.min() < LEFT_OUT or rows.max() >= len(rows):
            raise ValueError(f"rows that a codebook of {len(rows):,} does not have")
        return cls(rules.tobytes(), rows)

    def parts(self) -> dict[str, NDArray[Any]]:
        """See TextReader.parts."""
        return {"rules": np.frombuffer(self.rules, np.uint8), "rows": self.rows}

    @property
    def size(self) -> int:
        """See TextReader.size."""
        return len(self.rows)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of every text, in its order; where a text spells a special token, that one, as in transformers.

        Raises:
            QueryError: an item is no text, or holds half of a surrogate pair.
            DataError: the rules are damaged, or none that a bundle carries.
            BackendError: the package tokenizers is missing.
        """
        return [self._kept(ids) for ids in piece_ids(self._tokenizer, texts)]

    def piece(self, token: int) -> str:
        """See TextReader.piece."""
        (ids,) = np.nonzero(self.rows == token)
        return str(self._tokenizer.id_to_token(int(ids[0]))) if len(ids) else ""

    def moved(self, rows_of: Mapping[int, int], last: int) -> Self:
        """With other rows for the ids above `last`; those among them that are not named are left out."""
        rows = self.rows.copy()
        rows[last + 1 :] = LEFT_OUT
        for token, row in rows_of.items():
            rows[token] = row
        return type(self)(self.rules, rows)

    def _kept(self, ids: Sequence[int]) -> list[int]:
        own = np.array(ids, np.int64)
        rows = self.rows[own[own < len(self.rows)]]
        kept: list[int] = rows[rows != LEFT_OUT].tolist()
        return kept

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        try:
            from tokenizers import Tokenizer
        except ImportError as err:
            raise missing_package("tokenizers", "text", "tokenizing text") from err
        place = Path("tokenizers.safetensors")
        try:
            carried = carried_rules(parse_json_object(self.rules.decode(), place))
            return Tokenizer.from_str(json.dumps(carried))
        except DataError:
            raise
        except Exception as err:  # the package raises plain Exception
            raise DataError(
                f"{place}: the rules of a text tokenizer cannot be read: {str(err)[:300]}. Make the bundle again."
            ) from err
