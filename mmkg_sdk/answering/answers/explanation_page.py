"""An explanation as an HTML page: weights as bars, and the image with its weights drawn over it.

One file that fetches nothing and runs no script: the image is in it, and grids are drawn as SVG.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, QueryError, missing_package
from ...families.explained import EntityExplanation, QueryExplanation
from ...files.atomic import write_atomically
from ...files.regular import open_regular
from ...modalities.image_views import without_border
from .link_explanation import LinkExplanation
from .sentence_explanation import SentenceExplanation

if TYPE_CHECKING:
    from PIL.Image import Image

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td { padding: .1rem .8rem; border-bottom: 1px solid #ddd } td:nth-child(2) { text-align: right }
.bar { display: inline-block; height: .8rem; background: #0072B2 } .less { background: #D55E00 }
figure { display: inline-block; margin: 0 1.5rem 1rem 0; vertical-align: top } figcaption { color: #555 }
.note { color: #555; font-size: .9rem }
"""
# What adds to a score, and what takes from it.
_MORE, _LESS = "#0072B2", "#D55E00"
_STRONGEST = 0.8  # opacity of the place that weighs most
_CELLS = 4  # along each side, as fine as places are
_SIDE = 360  # width of a drawn image, in pixels
_LONGEST = 512  # of the image in the page
_MEANINGS = {
    "matched": "matched: what each place adds to the score image_by_entity; orange takes from it",
    "attended": "attended: how much the text of the mention attends to each place",
}


Explanation = EntityExplanation | LinkExplanation | QueryExplanation | SentenceExplanation


def write_explanation(found: Explanation, path: Path, image: Path | None = None) -> None:
    """Write the page of an explanation.

    Args:
        image: of an entity, to draw the weights of its image tokens over it; or the main one of the entity that a query
            asks about.

    Raises:
        DataError: an image cannot be read any more.
        BackendError: Pillow is missing.
    """
    if isinstance(found, SentenceExplanation):
        title, parts = escape(found.sentence), _sentence(found)
    elif isinstance(found, QueryExplanation):
        title, parts = escape(found.query), _query(found, image)
    else:
        title = escape(found.entity)
        parts = _entity(found, image) if isinstance(found, EntityExplanation) else _link(found)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        f"<h1>{title}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
    write_atomically(path, page.encode())


def _entity(found: EntityExplanation, image: Path | None) -> Iterable[str]:
    yield '<p class="note">What its vector is mixed of: shares of 1.</p>'
    yield _bars(found.modalities.items())
    if image is not None:
        yield "<h2>Places in its image</h2>"
        grid = _spread(found)
        yield _drawn(without_border(_picture(image)), {"weights of the tokens, spread over their places": grid})
    if found.tokens:
        yield "<h2>Tokens</h2>"
        yield _bars((one.name, one.weight) for one in sorted(found.tokens, key=lambda token: -token.weight))


def _spread(found: EntityExplanation) -> NDArray[np.float32]:
    """The weights of tokens that have a place, each spread evenly over it, in cells of a quarter of each side.

    Raises:
        QueryError: no token has one.
    """
    placed = [(one.place, one.weight) for one in found.tokens if one.place is not None]
    if not placed:
        raise QueryError(
            f"no token of {found.entity!r:.120} has a place in an image: it has no image, or its tokens are those of "
            "another tokenizer than `mmkg-sdk data tokenize --image-model learned-views`. Leave the image out."
        )
    grid = np.zeros((_CELLS, _CELLS), np.float32)
    for box, weight in placed:
        left, top, right, bottom = (round(_CELLS * share) for share in box)
        grid[top:bottom, left:right] += weight / ((bottom - top) * (right - left))
    return grid


def _link(found: LinkExplanation) -> Iterable[str]:
    yield f"<p>{escape(found.mention.text)}: {escape(found.mention.sentence)}</p>"
    yield f'<p class="note">Score {found.score:.4f}, the mean of the units; it ranks the candidates of one mention.</p>'
    yield "<h2>Units</h2>" + _bars(found.units.items())
    yield "<h2>Parts</h2>" + _bars(found.parts.items())
    if found.places and found.mention.image is not None:
        yield "<h2>Places in the image of the mention</h2>"
        yield _drawn(found.mention.image, found.places)


def _sentence(found: SentenceExplanation) -> Iterable[str]:
    yield '<p class="note">By which weights its word pieces take from each place, the mean over the fused layers.</p>'
    for one in found.images:
        yield f"<h2>{escape(one.group)}: {escape(one.image.name)}</h2>"
        mean = one.weights.mean(axis=0)
        yield _drawn(one.image, {"all word pieces together, over the centre square": mean.mean(axis=0)}, square=True)
        yield _bars(zip(found.pieces, mean.sum(axis=(1, 2)).tolist(), strict=True))


def _query(found: QueryExplanation, image: Path | None) -> Iterable[str]:
    yield '<p class="note">By which weights it takes from each image, the mean over the fused layers.</p>'
    shares = found.shares()
    yield "<h2>What [MASK] takes, whose state becomes the vector of the query</h2>"
    yield _bars((name, float(share[found.mask])) for name, share in shares.items())
    if image is not None:
        if "main" not in found.images:
            raise QueryError("the model reads no main image of an entity. Leave the image out.")
        mean = found.images["main"][:, :, 0].mean(axis=0)
        yield "<h2>Places in the main image</h2>"
        grids = {
            "what [MASK] takes, over the centre square": mean[found.mask],
            "all pieces together": mean.mean(axis=0),
        }
        yield _drawn(image, grids, square=True)
    for name, share in shares.items():
        yield f"<h2>What each piece takes from {escape(name)}</h2>"
        yield _bars(zip(found.pieces, share.tolist(), strict=True))


def _bars(values: Iterable[tuple[str, float]]) -> str:
    rows = list(values)
    largest = max((abs(value) for _, value in rows), default=0.0) or 1.0
    lines = []
    for name, value in rows:
        kind = "bar less" if value < 0 else "bar"
        bar = f'<span class="{kind}" style="width:{15 * abs(value) / largest:.3f}rem"></span>'
        lines.append(f"<tr><td>{escape(name)}</td><td>{value:.4f}</td><td>{bar}</td></tr>")
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _drawn(image: Path | Image, grids: Mapping[str, NDArray[np.float32]], *, square: bool = False) -> str:
    """The image, or its centre square, once for each grid, which lies over the whole of it."""
    picture = _picture(image)
    picture.thumbnail((_LONGEST, _LONGEST))
    if square:
        side, (width, height) = min(picture.size), picture.size
        left, top = (width - side) // 2, (height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    packed = io.BytesIO()
    picture.save(packed, "png")
    data = base64.b64encode(packed.getvalue()).decode()
    size = _SIDE, round(_SIDE * picture.height / picture.width)
    return "\n".join(_figure(data, size, grid, _MEANINGS.get(name, name)) for name, grid in grids.items())


def _figure(data: str, size: tuple[int, int], grid: NDArray[np.float32], meaning: str) -> str:
    height, width = size[1] / grid.shape[0], size[0] / grid.shape[1]
    largest = float(np.abs(grid).max()) or 1.0
    cells = [
        f'<rect x="{column * width:.2f}" y="{row * height:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'fill="{_MORE if value > 0 else _LESS}" fill-opacity="{_STRONGEST * abs(float(value)) / largest:.3f}">'
        f"<title>row {row + 1}, column {column + 1}: {float(value):.5f}</title></rect>"
        for (row, column), value in np.ndenumerate(grid)
    ]
    sides = f'width="{size[0]}" height="{size[1]}"'
    return (
        f'<figure><svg {sides} role="img">\n<image href="data:image/png;base64,{data}" {sides}/>\n'
        + "\n".join(cells)
        + f"\n</svg><figcaption>{escape(meaning)}</figcaption></figure>"
    )


def _picture(image: Path | Image) -> Image:
    """In colours."""
    try:
        from PIL import Image as images
    except ImportError as err:
        raise missing_package("pillow", "text", "drawing an image") from err
    try:
        if isinstance(image, images.Image):
            found = image.convert("RGB")
        else:
            with open_regular(image) as file, images.open(file) as opened:
                found = opened.convert("RGB")
    except Exception as err:  # Pillow's decoders raise many types for damaged files
        raise DataError(f"{image} cannot be read: {str(err)[:300] or type(err).__name__}") from err
    return found
