"""Which widths of encoder layers there are GPU kernels for."""

from __future__ import annotations

# As launch/encoder/layer.h has them: columns of a head come in groups of so many, and a layer has so many at most.
_GROUP, _MOST_COLUMNS = 64, 512


def layer_absence(width: int, heads: int) -> str | None:
    """Why no GPU kernels can compute a layer; None if they can."""
    columns = max(width, heads * -(-(width // heads) // _GROUP) * _GROUP)
    if columns <= _MOST_COLUMNS:
        return None
    return f"width {width} with {heads} heads takes {columns} columns on a GPU, whose kernels go to {_MOST_COLUMNS}"
