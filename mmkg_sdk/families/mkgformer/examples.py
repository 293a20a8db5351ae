"""Training examples as arrays, what a task's objective reads."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...ranking.known_triples import Queries


@dataclass(frozen=True)
class Examples:
    """n training examples as arrays, int64 on the CPU, padded on the right.

    Attributes:
        input_ids, attention_mask: [n, max_length].
        token_type_ids: [n, max_length]; None = all 0.
        image_rows: [n], rows of the ImageGroups; -1 = no images.
        labels: link prediction [n], the missing entity; relation extraction [n]; entity recognition
            [n, max_length], 0 on padding.
        queries: what each example asks; link prediction with "bce" only, where all known answers count.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_rows: Tensor
    labels: Tensor
    token_type_ids: Tensor | None = None
    queries: Queries | None = None
