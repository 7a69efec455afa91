"""What people read of a task: prose without HTML, changes as differences, results beside their calls."""

import json
from typing import Any

import pytest

from sekisho.web.console.changes import arguments_of, change_of, main_argument
from sekisho.web.console.conversation_view import title_of
from sekisho.web.console.prose import Prose

PROSE = Prose("chart", "source")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](https://elsewhere.example/pixel.png)",
        "<https://x.example/\"onmouseover='alert(1)'>",
        "```html\n<b onclick=x>\n```",
        "[x](data:text/html;base64,xxxx)",
        "# <h1 onload=x>",
    ],
)
def test_prose_has_no_markup_of_its_writer(text: str) -> None:
    html = str(PROSE(text)).lower()
    for bad in ("<script", "<img", "<h1", "onerror=alert(1)>", 'href="javascript', 'href="data', "<b onclick"):
        assert bad not in html, html


def test_links_lead_away_without_saying_where_from() -> None:
    assert 'rel="noopener noreferrer nofollow"' in PROSE("[x](https://elsewhere.example/)")


def test_a_chart_that_cannot_be_drawn_stays_code() -> None:
    assert "planbox" not in PROSE("```mermaid\npie\n```") and "pie" in PROSE("```mermaid\npie\n```")


def test_what_is_too_long_stands_as_it_is() -> None:
    assert str(PROSE("*" * 60_001)).startswith("<pre")


@pytest.mark.parametrize(
    ("arguments", "added", "removed"),
    [
        ({"file_path": "a", "old_string": "x\ny", "new_string": "x\nz\nw"}, 2, 1),
        ({"path": "a", "old_text": "x", "new_text": ""}, 0, 1),
        ({"path": "a", "content": "one\ntwo"}, 2, 0),
        ({"edits": [{"old_text": "a", "new_text": "b"}, {"old_text": "c", "new_text": "d\ne"}]}, 3, 2),
        ({"path": "a", "diff": "------- SEARCH\na\n=======\nb\nc\n+++++++ REPLACE\n"}, 2, 1),
        ("*** Begin Patch\n*** Update File: a.py\n@@\n-old\n+new\n same\n*** End Patch", 1, 1),
    ],
)
def test_changes_in_every_agents_way_of_writing(arguments: Any, added: int, removed: int) -> None:
    change = change_of(arguments)
    assert change is not None
    assert (change.added, change.removed) == (added, removed)


@pytest.mark.parametrize(
    "arguments", [{}, {"command": "ls"}, "ls -la", None, 7, {"old_text": 1, "new_text": 2}, {"content": "x"}]
)
def test_what_is_no_change_has_no_difference(arguments: Any) -> None:
    assert change_of(arguments) is None


def test_the_main_argument_is_what_says_most() -> None:
    assert main_argument({"x": 1, "command": "pytest -q\nls"}) == "pytest -q"
    assert main_argument({"files": [{"path": "a/b.py"}]}) == "a/b.py"
    assert main_argument({"commands": ["make test"]}) == "make test"
    assert main_argument(arguments_of("not json")) == "not json"
    assert main_argument({}) == ""


def test_the_title_is_what_the_person_wrote_first() -> None:
    def call(text: str) -> dict[str, Any]:
        return {"turns": [{"speaker": "human", "parts": [{"type": "text", "text": text}]}]}

    wrapped = "<task>\nFix the sum\n</task>\n<environment_details>\nfiles\n</environment_details>"
    assert title_of([call("<system-reminder>x</system-reminder>"), call(wrapped)]) == "Fix the sum"
    assert title_of([{"turns": []}]) == ""
    assert len(title_of([call("x" * 500)])) == 80


@pytest.mark.parametrize("depth", [300, 980, 3_000])
@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"edits":[', "]}"), ('{"a":', "}")])
def test_arguments_of_any_depth_can_be_looked_at(depth: int, begin: str, end: str) -> None:
    arguments = arguments_of(begin * depth + "1" + end * depth)
    assert len(main_argument(arguments)) <= 200
    assert change_of(arguments) is None
    assert isinstance(arguments, str) or json.dumps(arguments, indent=2)


def test_hostile_differences_and_prose_are_read_in_one_pass() -> None:
    assert change_of({"diff": "<<<<<<< SEARCH\n" * 100_000}) is None
    assert change_of({"diff": "<<<<<<< SEARCH\n=======\n" + ">" * 500_000}) is None
    assert PROSE("[" * 50_000).startswith("<pre")
