"""Flow charts that agents write as Mermaid, drawn by us: a small picture in the console's own strokes.

Nothing of the source reaches the page but the words of its nodes and edges, escaped. Whatever this cannot read (another
kind of diagram, too many nodes) is not drawn: the page shows the source as code.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from markupsafe import Markup, escape

MOST_NODES = 60
MOST_EDGES = 120
MOST_CHARACTERS = 8_000
_MOST_LINE = 1_000
_BLANKS = re.compile(r"\s+")
_HEAD = re.compile(r"^(?:flowchart|graph)\s+(TB|TD|BT|LR|RL)\s*;?$")
_IGNORED = re.compile(
    r"^(?:%%|subgraph\b|end$|classDef\b|class\b|style\b|linkStyle\b|click\b|direction\b|accTitle|accDescr)"
)
_NODE = re.compile(
    r"""\s*(?P<id>[\w\u3040-\u30ff\u4e00-\u9fff]+)
        (?:\s*(?P<open>\(\(|\(\[|\[\[|\[\(|\[/|\[|\(|\{\{|\{|>)\s*(?P<quote>"?)(?P<text>.*?)(?P=quote)\s*
        (?P<close>\)\)|\]\)|\]\]|\)\]|/\]|\]|\)|\}\}|\}))?(?::::\w+)?""",
    re.VERBOSE,
)
_EDGE = re.compile(
    r"""\s*(?:(?:--|==|-\.)\s+(?P<inner>[^|>]+?)\s+(?P<tail>-->|---|==>|===|\.->|-\.->)
        |(?P<plain><?(?:-{2,}[>xo]?|={2,}>?|-\.+->?))(?:\s*\|\s*"?(?P<label>[^|]*?)"?\s*\|)?)""",
    re.VERBOSE,
)
_AND = re.compile(r"\s*&")
_BREAK = re.compile(r"<br\s*/?>|\\n")
_CHARACTER, _LINE, _PADDING = 6.7, 17, 12
_WIDEST = 26  # half-width characters in a line of a node
_GAP_ALONG, _GAP_ACROSS = 46, 22
_EDGE_WORDS = 12


@dataclass
class _Box:
    lines: list[str]
    is_choice: bool
    layer: int = 0
    x: float = 0
    y: float = 0
    width: float = field(init=False)
    height: float = field(init=False)

    def __post_init__(self) -> None:
        widest = max(map(_width, self.lines))
        self.width = widest * _CHARACTER + 2 * _PADDING + (24 if self.is_choice else 0)
        self.height = len(self.lines) * _LINE + 2 * _PADDING - 2


@dataclass(frozen=True)
class _Edge:
    source: str
    target: str
    label: str
    is_dotted: bool


@dataclass
class _Chart:
    is_down: bool
    boxes: dict[str, _Box] = field(default_factory=dict)
    edges: list[_Edge] = field(default_factory=list)


class _Unreadable(Exception):
    """This is not a chart that can be drawn here."""


def draw(source: str, label: str) -> Markup | None:
    """The chart as SVG with `label` for those who cannot see it; None where it cannot be drawn."""
    if len(source) > MOST_CHARACTERS:
        return None
    try:
        chart = _read(source)
    except _Unreadable:
        return None
    _place(chart)
    return _svg(chart, label)


def _read(source: str) -> _Chart:
    # with runs of blanks no pattern below would be linear
    lines = [_BLANKS.sub(" ", line).strip() for text in source.splitlines() for line in text.split(";")]
    lines = [line for line in lines if line and not line.startswith("%%")]
    if any(len(line) > _MOST_LINE for line in lines):
        raise _Unreadable
    head = _HEAD.match(lines[0]) if lines else None
    if head is None:
        raise _Unreadable
    chart = _Chart(is_down=head[1] in ("TB", "TD", "BT"))
    for line in lines[1:]:
        if not _IGNORED.match(line):
            _read_line(chart, line)
    if not chart.boxes or len(chart.boxes) > MOST_NODES:
        raise _Unreadable
    return chart


def _read_line(chart: _Chart, line: str) -> None:
    """One chain of nodes: `A --> B -->|yes| C & D`."""
    sources, at = _read_nodes(chart, line, 0)
    while at < len(line):
        edge = _EDGE.match(line, at)
        if edge is None:
            raise _Unreadable
        targets, at = _read_nodes(chart, line, edge.end())
        words = (edge["inner"] or edge["label"] or "").strip().strip('"')
        is_dotted = "." in (edge["tail"] or edge["plain"])
        if len(chart.edges) + len(sources) * len(targets) > MOST_EDGES:
            raise _Unreadable
        chart.edges += [_Edge(one, other, words, is_dotted) for one in sources for other in targets]
        sources = targets


def _read_nodes(chart: _Chart, line: str, at: int) -> tuple[list[str], int]:
    found = []
    while True:
        node = _NODE.match(line, at)
        if node is None:
            raise _Unreadable
        name, text = node["id"], node["text"]
        if text is not None or name not in chart.boxes:
            chart.boxes[name] = _Box(_wrapped(text or name), is_choice=(node["open"] or "").startswith("{"))
        found.append(name)
        at = node.end()
        more = _AND.match(line, at)
        if more is None:
            while at < len(line) and line[at].isspace():
                at += 1
            return found, at
        at = more.end()


def _wrapped(text: str) -> list[str]:
    """The words of a node in lines that are not too wide."""
    lines = []
    for part in _BREAK.split(text):
        line = ""
        for piece in re.findall(r"[\x21-\x7e]+\s*|.", part):
            if line and _width(line + piece.rstrip()) > _WIDEST:
                lines.append(line.strip())
                line = ""
            line += piece
        lines.append(line.strip())
    return [line for line in lines if line][:6] or ["·"]


def _width(text: str) -> int:
    """Half-width characters."""
    return sum(2 if unicodedata.east_asian_width(one) in "WFA" else 1 for one in text)


def _place(chart: _Chart) -> None:
    """Layer by layer, along the direction of the chart; edges that lead back do not count."""
    for name, layer in _layers(chart).items():
        chart.boxes[name].layer = layer
    ordered = sorted(chart.boxes.values(), key=lambda box: box.layer)
    rows = [list(row) for _, row in groupby(ordered, key=lambda box: box.layer)]
    breadth = max(sum(_across(chart, box) for box in row) + _GAP_ACROSS * (len(row) - 1) for row in rows)
    label = max((min(_width(edge.label), _EDGE_WORDS) for edge in chart.edges), default=0) * _CHARACTER
    gap = _GAP_ALONG if chart.is_down else max(_GAP_ALONG, label + 22)
    along = 2.0
    for row in rows:
        across = 2 + (breadth - sum(_across(chart, box) for box in row) - _GAP_ACROSS * (len(row) - 1)) / 2
        deepest = max(box.height if chart.is_down else box.width for box in row)
        for box in row:
            own = along + (deepest - (box.height if chart.is_down else box.width)) / 2
            box.x, box.y = (across, own) if chart.is_down else (own, across)
            across += _across(chart, box) + _GAP_ACROSS
        along += deepest + gap


def _across(chart: _Chart, box: _Box) -> float:
    return box.width if chart.is_down else box.height


def _layers(chart: _Chart) -> Mapping[str, int]:
    """How far each node is from a start, by the longest way that does not go in a circle."""
    following: dict[str, list[str]] = {name: [] for name in chart.boxes}
    for edge in chart.edges:
        following[edge.source].append(edge.target)
    state: dict[str, int] = {}
    order: list[str] = []
    back: set[tuple[str, str]] = set()
    for start in chart.boxes:
        stack = [(start, iter(following[start]))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            name, rest = stack[-1]
            target = next(rest, None)
            if target is None:
                state[name] = 2
                order.append(name)
                stack.pop()
            elif state.get(target) == 1:
                back.add((name, target))
            elif target not in state:
                state[target] = 1
                stack.append((target, iter(following[target])))
    layers = dict.fromkeys(chart.boxes, 0)
    for name in reversed(order):
        for target in following[name]:
            if (name, target) not in back:
                layers[target] = max(layers[target], layers[name] + 1)
    return layers


def _svg(chart: _Chart, label: str) -> Markup:
    boxes = chart.boxes.values()
    width = max(box.x + box.width for box in boxes) + 2
    height = max(box.y + box.height for box in boxes) + 2
    bends = [edge for edge in chart.edges if _is_back(chart, edge)]
    if bends:
        height, width = (height, width + 34) if chart.is_down else (height + 30, width)
    parts = [*(_drawn_edge(chart, edge, width, height) for edge in chart.edges), *map(_drawn_box, boxes)]
    head = Markup(
        '<svg class="chart pl" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">'
    ).format(round(width), round(height), round(width), round(height), label)
    return head + Markup("").join(parts) + Markup("</svg>")


def _is_back(chart: _Chart, edge: _Edge) -> bool:
    return chart.boxes[edge.target].layer <= chart.boxes[edge.source].layer


def _drawn_box(box: _Box) -> Markup:
    if box.is_choice:
        middle = box.y + box.height / 2
        left, right, bottom = box.x + 12, box.x + box.width - 12, box.y + box.height
        corners = (
            (left, box.y),
            (right, box.y),
            (right + 12, middle),
            (right, bottom),
            (left, bottom),
            (box.x, middle),
        )
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in corners)
        shape = Markup('<polygon class="fl-box" points="{}"/>').format(points)
    else:
        shape = Markup('<rect class="fl-box" x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}" rx="4"/>').format(
            box.x, box.y, box.width, box.height
        )
    top = box.y + box.height / 2 - (len(box.lines) - 1) * _LINE / 2 + 4
    words = (
        Markup('<text class="k m" x="{:.0f}" y="{:.0f}">{}</text>').format(
            box.x + box.width / 2, top + row * _LINE, line
        )
        for row, line in enumerate(box.lines)
    )
    return shape + Markup("").join(words)


def _drawn_edge(chart: _Chart, edge: _Edge, width: float, height: float) -> Markup:
    source, target = chart.boxes[edge.source], chart.boxes[edge.target]
    points = list(_way(chart, edge, source, target, width, height))
    path = "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in points)
    (x1, y1), (x2, y2) = points[-2], points[-1]
    head = _head(x1, y1, x2, y2)
    css = "hair s-edge dots" if edge.is_dotted else "hair s-edge"
    drawn = Markup('<path class="{}" d="{}" fill="none"/><path class="hair s-edge" d="{}" fill="none"/>').format(
        css, path, head
    )
    if not edge.label:
        return drawn
    words = edge.label if _width(edge.label) <= _EDGE_WORDS else edge.label[: _EDGE_WORDS - 1] + "…"
    middle = len(points) // 2
    (ax, ay), (bx, by) = points[middle - 1], points[middle]
    return drawn + Markup('<text class="m" x="{:.0f}" y="{:.0f}">{}</text>').format(
        (ax + bx) / 2 + (14 if chart.is_down else 0), (ay + by) / 2 - 5, escape(words)
    )


def _way(
    chart: _Chart, edge: _Edge, source: _Box, target: _Box, width: float, height: float
) -> Iterator[tuple[float, float]]:
    """From border to border; an edge that leads back goes around the outside."""
    if _is_back(chart, edge):
        if chart.is_down:
            yield source.x + source.width, source.y + source.height / 2
            yield width - 8, source.y + source.height / 2
            yield width - 8, target.y + target.height / 2
            yield target.x + target.width, target.y + target.height / 2
        else:
            yield source.x + source.width / 2, source.y + source.height
            yield source.x + source.width / 2, height - 8
            yield target.x + target.width / 2, height - 8
            yield target.x + target.width / 2, target.y + target.height
    elif chart.is_down:
        yield source.x + source.width / 2, source.y + source.height
        yield target.x + target.width / 2, target.y
    else:
        yield source.x + source.width, source.y + source.height / 2
        yield target.x, target.y + target.height / 2


def _head(x1: float, y1: float, x2: float, y2: float) -> str:
    """The point of the arrow."""
    length = max(((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5, 1)
    ux, uy = (x2 - x1) / length * 6, (y2 - y1) / length * 6
    left, right = (x2 - ux - uy * 0.6, y2 - uy + ux * 0.6), (x2 - ux + uy * 0.6, y2 - uy - ux * 0.6)
    return f"M{left[0]:.1f} {left[1]:.1f}L{x2:.0f} {y2:.0f}L{right[0]:.1f} {right[1]:.1f}"
