"""What of an entity's tokens a model sees: MyGO the most frequent ones, AdaMF-MAT the mean of their vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def most_frequent(tokens: Sequence[int], count: int) -> list[int]:
    """The `count` most frequent tokens, each once, from most to least; equally frequent ones by first appearance."""
    # most_common keeps the order of first appearance among equal counts.
    return [token for token, _ in Counter(tokens).most_common(count)]


def mean_row(tokens: Sequence[int], codebook: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean codebook row of all tokens of an entity, repeats included, float32 [width]; it has at least one."""
    mean: NDArray[np.float32] = codebook[np.asarray(tokens)].mean(axis=0)
    return mean
