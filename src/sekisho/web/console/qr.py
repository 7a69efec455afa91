"""A QR code as the path of an inline SVG: no file, no script, nobody asked."""

from typing import NamedTuple

import segno

_BORDER = 4


class Picture(NamedTuple):
    """A square of `size` units and the path of its dark fields."""

    size: int
    path: str


def draw_qr(text: str) -> Picture:
    """The code of this text, with the quiet zone that scanners need."""
    code = segno.make(text, micro=False, error="m")
    rows = list(code.matrix)
    parts = [
        f"M{x + _BORDER} {y + _BORDER}h1v1h-1z"
        for y, row in enumerate(rows)
        for x, is_dark in enumerate(row)
        if is_dark
    ]
    return Picture(len(rows) + 2 * _BORDER, "".join(parts))
