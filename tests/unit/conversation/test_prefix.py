"""What of a prompt is another one than the turn before, by fingerprints alone."""

import json
from typing import Any

import pytest

from sekisho.conversation.chain import Chain
from sekisho.conversation.prefix import (
    Change,
    Prefix,
    Prefixes,
    Seen,
    Texts,
    ToolsChange,
    first_change,
    is_volatile,
    prefix_of,
    share_kept,
    tools_change,
)
from sekisho.dialects.body import parse_fields
from sekisho.values import Door

MARK = {"cache_control": {"type": "ephemeral"}}
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("read", "write")]


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text, **more}]}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


HISTORY = [user("one"), said("two"), user("three", **MARK)]


def chain(door: Door = "anthropic_messages", **body: Any) -> Chain:
    whole = {"model": "m", "system": "Be brief.", "messages": HISTORY, "tools": TOOLS} | body
    text = json.dumps({name: value for name, value in whole.items() if value is not None}).encode()
    return Chain(door, text, parse_fields(text))


def prefix(**body: Any) -> Prefix:
    return prefix_of(chain(**body))


LONGER = [user("one"), said("two"), user("three"), said("four"), user("five", **MARK)]


@pytest.mark.parametrize(
    ("later", "change"),
    [
        ({"messages": LONGER}, None),
        ({"messages": [*LONGER[:-1], user("five")]}, None),
        ({"messages": LONGER, "tools": TOOLS[::-1]}, Change("tools")),
        ({"messages": LONGER, "tools": None}, Change("tools")),
        ({"messages": LONGER, "system": "Be short."}, Change("system")),
        ({"messages": LONGER, "thinking": {"type": "enabled", "budget_tokens": 2_000}}, Change("settings")),
        ({"messages": [*LONGER[:1], said("TWO"), *LONGER[2:]]}, Change("message", 1)),
        ({"messages": [user("a summary")]}, Change("message", 0)),
        ({"messages": LONGER[:2]}, Change("message", 2)),
    ],
)
def test_the_first_change_is_named(later, change) -> None:
    assert first_change(prefix(), prefix(**later)) == change


def test_what_stands_behind_the_last_mark_was_not_cached() -> None:
    before = prefix(messages=[user("one", **MARK), said("two"), user("three")])
    assert first_change(before, prefix(messages=[user("one"), said("TWO"), user("five", **MARK)])) is None
    only_system = prefix(system=[{"type": "text", "text": "Be brief.", **MARK}], messages=[user("one")])
    later = prefix(system=[{"type": "text", "text": "Be brief."}], messages=[user("else")], tool_choice={"type": "any"})
    assert first_change(only_system, later) is None


def test_system_messages_of_openais_form_are_system_text() -> None:
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"}]
    before = prefix_of(chain("openai_chat", system=None, messages=history))
    later = prefix_of(chain("openai_chat", system=None, messages=[{**history[0], "content": "Be."}, history[1]]))
    assert first_change(before, later) == Change("system") and before.thread == later.thread


def test_how_much_of_a_prompt_was_there_before() -> None:
    before = prefix(messages=[user("x" * 900), said("two"), user("y" * 900)])
    assert share_kept(before, chain(messages=[user("x" * 900), said("2"), user("y" * 900)])) > 0.9
    assert share_kept(before, chain(messages=[user("z" * 9_000)])) < 0.1


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"Today is Mon Nov 23 2026.", b"Today is Tue Nov 24 2026.", True),
        (b"At 2026-11-23T09:00:00Z", b"At 2026-11-23T09:00:07Z", True),
        (b"commit 3f2a9bc1", b"commit 90ab12cd", True),
        (b"Monday, 1 December, 9 am", b"Thursday, 2 January, 11 pm", True),
        (b"Be brief.", b"Be short.", False),
        (b"Be brief at 9.", b"Be short at 10.", False),
        (b"same 1", b"same 1", False),
    ],
)
def test_text_that_changes_by_itself(before: bytes, after: bytes, expected: bool) -> None:
    assert is_volatile(before, after) is expected


def chat_tools(*names: str) -> bytes:
    return json.dumps([{"type": "function", "function": {"name": name}} for name in names]).encode()


def converse_tools(*names: str) -> bytes:
    return json.dumps({"tools": [{"toolSpec": {"name": name}} for name in names]}).encode()


@pytest.mark.parametrize("write", [chat_tools, converse_tools])
def test_how_tools_differ(write) -> None:
    assert tools_change(write("a", "b"), write("b", "a")) == ToolsChange(is_order=True)
    assert tools_change(write("a", "b"), write("a", "c", "b")) == ToolsChange(is_order=False, names=("c",))
    assert tools_change(b"[1]", write("a")) is None


def test_a_rewritten_tool_is_named() -> None:
    old, new = ([{"name": "read", "description": text}] for text in ("Reads.", "Reads a file."))
    assert tools_change(json.dumps(old).encode(), json.dumps(new).encode()) == ToolsChange(False, ("read",))


def seen(first: str, *, is_main: bool = True, call_id: bytes = b"1", extra: int = 0) -> Seen:
    history = [user(first), *[said(str(number)) for number in range(extra)]]
    return Seen(call_id, prefix(messages=history), "m", "p", 0, 1, 2, 100, 100, is_main)


def test_conversations_of_a_task_are_told_apart_by_their_first_message() -> None:
    prefixes = Prefixes()
    main, helper = seen("Build it."), seen("Find it.", is_main=False, call_id=b"2")
    prefixes.keep(b"task", main)
    prefixes.keep(b"task", helper)
    assert prefixes.before(b"task", prefix(messages=[user("Build it."), said("ok")]), is_main=True) is main
    assert prefixes.before(b"task", prefix(messages=[user("Find it.")]), is_main=False) is helper
    assert prefixes.before(b"task", prefix(messages=[user("Another helper.")]), is_main=False) is None
    assert prefixes.before(b"other", main.prefix, is_main=True) is None


def test_a_history_that_was_replaced_goes_on_from_the_tasks_last_one() -> None:
    prefixes = Prefixes()
    main = seen("Build it.")
    prefixes.keep(b"task", main)
    summary = [user("A summary of all that was said.")]
    assert prefixes.before(b"task", prefix(messages=summary), is_main=True) is main
    other = prefix(messages=summary, system="A title, please.", tools=None)
    assert prefixes.before(b"task", other, is_main=True) is None


def test_what_is_remembered_is_bounded() -> None:
    prefixes = Prefixes(most_tasks=3, most_bytes=10_000)
    for number in range(50):
        for thread in range(12):
            prefixes.keep(b"%d" % number, seen(f"{thread}", extra=number))
            assert prefixes.held_bytes <= 10_000
    assert prefixes.before(b"49", prefix(messages=[user("11")]), is_main=True) is not None
    assert prefixes.before(b"1", prefix(messages=[user("11")]), is_main=True) is None
    texts = Texts(most_bytes=500)
    one = chain()
    texts.keep("red", one)
    tools = one.blocks[0].fingerprint
    found = texts.find("red", tools)
    assert found is not None and json.loads(found) == TOOLS and texts.find("blue", tools) is None
    for number in range(20):
        texts.keep("red", chain(system="x" * number, tools=None))
        assert texts.held_bytes <= 500
    texts.keep("red", chain(system="x" * 900))
    assert texts.held_bytes <= 500
