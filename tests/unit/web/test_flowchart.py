"""Charts of agents: drawn where they can be read, never more than their words."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.web.console.flowchart import draw

GOOD = {
    "flowchart LR\n A[Read] --> B[Change]": 2,
    "graph TD; A-->B; B-->C; C-->A": 3,
    "flowchart TB\n start([Begin]) --> q{OK?}\n q -->|yes| d((Done))\n q -- no --> start": 3,
    "flowchart LR\n A & B --> C & D": 4,
    'flowchart LR\n A["現状を<br/>読む"] -.-> B:::hot\n classDef hot fill:#f00\n style A fill:red': 2,
    "flowchart LR\n subgraph one\n A --> B\n end\n %% words\n B ==> C": 3,
}


def drawn(source: str) -> ElementTree.Element:
    picture = draw(source, "chart")
    assert picture is not None
    return ElementTree.fromstring(str(picture))


@pytest.mark.parametrize(("source", "nodes"), GOOD.items())
def test_a_chart_has_a_shape_for_each_node(source: str, nodes: int) -> None:
    root = drawn(source)
    assert sum(one.tag in ("rect", "polygon") for one in root) == nodes
    width, height = (float(one) for one in root.attrib["viewBox"].split()[2:])
    for one in root.iter("rect"):
        x, y, w, h = (float(one.attrib[name]) for name in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + w <= width + 1 and y + h <= height + 1


def test_boxes_do_not_lie_on_each_other() -> None:
    root = drawn("flowchart TD\n A --> B\n A --> C\n A --> D\n B --> E\n C --> E\n D --> E\n E --> A")
    boxes = [tuple(float(one.attrib[name]) for name in ("x", "y", "width", "height")) for one in root.iter("rect")]
    for number, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[number + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


@pytest.mark.parametrize(
    "source",
    [
        "",
        "sequenceDiagram\n A->>B: hello",
        "flowchart LR",
        "flowchart LR\n A[unclosed --> B",
        "flowchart LR\n A --> ",
        "flowchart LR\n" + "\n".join(f"n{n} --> n{n + 1}" for n in range(70)),
        "flowchart LR\n A[" + "x" * 9_000 + "]",
    ],
)
def test_what_cannot_be_read_is_not_drawn(source: str) -> None:
    assert draw(source, "chart") is None


def test_words_are_escaped() -> None:
    picture = draw('flowchart LR\n A["<script>alert(1)</script>"] -->|"<b>"| B[x]', '"><i>')
    assert picture is not None and "<script" not in picture and "<b>" not in picture and "<i>" not in picture
    ElementTree.fromstring(str(picture))


@given(st.text(alphabet="AB[]{}()<>|-=.&;\"'/ \n\\あ", max_size=120))
def test_nothing_breaks_it(text: str) -> None:
    picture = draw("flowchart LR\n" + text, "chart")
    if picture is not None:
        ElementTree.fromstring(str(picture))
        assert not re.search(r"<(?!/?(?:svg|path|rect|polygon|text)\b)", str(picture))


@pytest.mark.parametrize(
    "source",
    [
        "graph TD\n" + "&".join("a" * 1500) + "-->" + "&".join("b" * 1500),
        "graph TD\na -- " + " " * 7000 + "|",
        "graph TD\na(" + "( " * 3000,
    ],
)
def test_a_hostile_chart_is_given_up_at_once(source: str) -> None:
    """Read without bounds these take seconds to days, and hundreds of megabytes."""
    assert draw(source, "chart") is None
