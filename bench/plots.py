"""Bar charts on a logarithmic axis and lines over time, as SVG text: no library, no script."""

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench.figures import short

_WIDTH, _LEFT, _RIGHT = 900, 170, 90
_ROW, _PANEL_HEAD, _TOP = 22, 44, 52
_OURS, _OTHER, _INK, _GRID = "#c2410c", "#64748b", "#1f2937", "#d1d5db"
_STYLE = (
    f"<style>text{{font:13px system-ui,sans-serif;fill:{_INK}}} .t{{font-size:17px;font-weight:600}}"
    " .p{font-weight:600} .s{font-size:11px}</style>"
)


class Panel(NamedTuple):
    """Bars of one measure: a name and a value each; names in `ours` are drawn in the accent colour."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float]]


def bars(title: str, panels: Sequence[Panel], ours: str) -> str:
    """Panels one below the other, each on a logarithmic axis of its own; shorter is better."""
    height = _TOP + sum(_PANEL_HEAD + _ROW * len(panel.bars) for panel in panels) + 12
    lines, top = [], float(_TOP)
    for panel in panels:
        lines += _panel(panel, top, ours)
        top += _PANEL_HEAD + _ROW * len(panel.bars)
    return _svg(title, height, lines)


def _panel(panel: Panel, top: float, ours: str) -> list[str]:
    values = [value for _, value in panel.bars]
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** math.ceil(math.log10(max(values) * 1.001))
    span, room = math.log10(high / low), _WIDTH - _LEFT - _RIGHT
    lines = [f'<text class="p" x="16" y="{top + 20}">{escape(panel.title)}</text>']
    bottom = top + _PANEL_HEAD - 12 + _ROW * len(values)
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x = _LEFT + room * (power - math.log10(low)) / span
        lines.append(f'<line x1="{x:.1f}" y1="{top + 30}" x2="{x:.1f}" y2="{bottom}" stroke="{_GRID}"/>')
    for row, (name, value) in enumerate(panel.bars):
        y = top + _PANEL_HEAD - 12 + _ROW * row
        length = max(2.0, room * math.log10(value / low) / span)
        colour = _OURS if name.startswith(ours) else _OTHER
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        lines.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{length:.1f}" height="{_ROW - 7}" rx="2" fill="{colour}"/>')
        lines.append(f'<text class="s" x="{_LEFT + length + 6:.1f}" y="{y + 14}">{short(value)} {panel.unit}</text>')
    return lines


class Line(NamedTuple):
    """Values over time."""

    name: str
    points: Sequence[tuple[float, float]]


class Shade(NamedTuple):
    """A part of the time in which something was otherwise."""

    name: str
    begin: float
    end: float


def over_time(title: str, unit_x: str, unit_y: str, lines: Sequence[Line], shade: Shade) -> str:
    """Lines from zero on, with the first and the last value written beside each, over the shade."""
    colours = (_OURS, _OTHER, "#0f766e", "#7c3aed", "#a16207")
    high_x = max(x for line in lines for x, _ in line.points) or 1.0
    high_y = _nice(max(y for line in lines for _, y in line.points) * 1.1)
    room_x, room_y, left, top = _WIDTH - 220, 300, 70, _TOP + 8
    begin, end = (left + room_x * x / high_x for x in (shade.begin, shade.end))
    drawn = [
        f'<rect x="{begin:.1f}" y="{top}" width="{end - begin:.1f}" height="{room_y}" fill="#fef3c7"/>'
        f'<text class="s" x="{(begin + end) / 2:.1f}" y="{top + 14}" text-anchor="middle">{escape(shade.name)}</text>'
    ]
    for step in range(6):
        y, value = top + room_y * (1 - step / 5), high_y * step / 5
        drawn.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + room_x}" y2="{y:.1f}" stroke="{_GRID}"/>')
        drawn.append(f'<text class="s" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
        x, right = left + room_x * step / 5, high_x * step / 5
        drawn.append(f'<text class="s" x="{x:.1f}" y="{top + room_y + 18}" text-anchor="middle">{short(right)}</text>')
    drawn.append(f'<text class="s" x="{left}" y="{top - 8}">{escape(unit_y)}</text>')
    drawn.append(
        f'<text class="s" x="{left + room_x}" y="{top + room_y + 36}" text-anchor="end">{escape(unit_x)}</text>'
    )
    for number, line in enumerate(lines):
        colour = colours[number % len(colours)]
        points = [(left + room_x * x / high_x, top + room_y * (1 - y / high_y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        label = f"{line.name}: {short(line.points[0][1])} → {short(line.points[-1][1])}"
        drawn.append(
            f'<text class="s" x="{left + room_x + 8}" y="{points[-1][1] + 4:.1f}" style="fill:{colour}">'
            f"{escape(label)}</text>"
        )
    return _svg(title, top + room_y + 50, drawn)


def _svg(title: str, height: float, lines: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{_STYLE}<rect width="100%" height="100%" fill="#fff"/>'
        f'<text class="t" x="16" y="32">{escape(title)}</text>\n' + "\n".join(lines) + "\n</svg>\n"
    )


def _nice(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)
