"""Table: cells under a title; aligned as text here, as HTML by page.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Cells = list[list[str]]


@dataclass(frozen=True)
class Table:
    """Attributes:
    title: what is listed, with its unit.
    cells: a header, then one row per line.
    footnotes: what the cells do not say.
    """

    title: str
    cells: Cells
    footnotes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is no more than a header."""
        return len(self.cells) < 2

    def __str__(self) -> str:
        return "\n".join(
            [self.title, "nothing was measured" if self.is_empty else aligned(self.cells), *self.footnotes]
        )


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def percent(value: float | None) -> str:
    """Without decimals; a dash where it is not known."""
    return "-" if value is None else f"{value:.0f} %"
