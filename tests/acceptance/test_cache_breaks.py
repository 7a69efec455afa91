"""Prompt caches through the gateway: what was saved, what a broken cache cost, and the cause that is told."""

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from importlib import resources
from typing import Any

import httpx

from sekisho.ledger.journal import Caching
from tests.acceptance.conftest import ALICE, Gateway
from tests.acceptance.control_plane import bearer

MARK = {"cache_control": {"type": "ephemeral"}}
Body = dict[str, Any]


def user(text: str, **more: Any) -> Body:
    return {"role": "user", "content": [{"type": "text", "text": text, **more}]}


def tool(name: str, text: str = "") -> Body:
    return {"name": name, "description": text or f"What {name} does. " * 40, "input_schema": {"type": "object"}}


def first_turn() -> Body:
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 60,
        "system": [{"type": "text", "text": "Today is 2026-11-26. " + "Be brief. " * 800, **MARK}],
        "tools": [tool("read"), tool("write")],
        "messages": [user("Look at the parser. " * 200, **MARK)],
    }


def next_turn(body: Body) -> Body:
    """The conversation goes on, and the mark moves to its new end."""
    later = copy.deepcopy(body)
    for block in later["messages"][-1]["content"]:
        block.pop("cache_control", None)
    later["messages"] += [{"role": "assistant", "content": "I looked."}, user("Now mend it. " * 200, **MARK)]
    return later


def edit(change: Callable[[Body], Any]) -> Callable[[Body], Body]:
    def edited(body: Body) -> Body:
        later = next_turn(body)
        change(later)
        return later

    return edited


def without_marks(body: Body) -> Body:
    later: Body = json.loads(json.dumps(body))
    later["system"][0].pop("cache_control", None)
    for turn in later["messages"]:
        for block in turn["content"] if isinstance(turn["content"], list) else ():
            block.pop("cache_control", None)
    return later


def far(body: Body) -> None:
    """So many blocks between the old mark and the new one that a provider does not look back so far."""
    body["system"][0].pop("cache_control")
    body["messages"][-1]["content"][:0] = [{"type": "text", "text": f"Part {number}."} for number in range(30)]


SECOND: dict[str, tuple[Callable[[Body], Body], tuple[str, str, str] | None]] = {
    "goes on": (next_turn, None),
    "same again": (copy.deepcopy, None),
    "order": (edit(lambda body: body["tools"].reverse()), ("tools_order", "tools", "")),
    "tools": (edit(lambda body: body["tools"].append(tool("run"))), ("tools_changed", "tools", "run")),
    "tool text": (edit(lambda body: body["tools"][0].update(tool("read", "New."))), ("tools_changed", "tools", "read")),
    "date": (
        edit(lambda body: body["system"][0].update(text=body["system"][0]["text"].replace("11-26", "11-27"))),
        ("system_volatile", "system", ""),
    ),
    "system": (edit(lambda body: body["system"][0].update(text="Be kind. " * 900)), ("system_changed", "system", "")),
    "edited": (
        edit(lambda body: body["messages"][0].update(user("Again. "))),
        ("history_edited", "message 0", ""),
    ),
    "compacted": (
        edit(lambda body: body.update(messages=[user("A summary. " * 50, **MARK)])),
        ("history_compacted", "message 0", ""),
    ),
    "settings": (edit(lambda body: body.update(tool_choice={"type": "any"})), ("settings_changed", "", "")),
    "model": (
        edit(lambda body: body.update(model="claude-haiku-4-5")),
        ("model_changed", "", "claude-sonnet-4-5 -> claude-haiku-4-5"),
    ),
    "unmarked now": (lambda body: without_marks(next_turn(body)), ("mark_missing", "", "")),
    "too far": (edit(far), ("mark_too_far", "message 3", "32 > 20")),
}


async def ask(gateway: Gateway, session: str, body: Body) -> Caching | None:
    """What the journal says of the call's cache."""
    headers = {**bearer(ALICE), "x-claude-code-session-id": session}
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(gateway.url + "/v1/messages", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return gateway.journal.settled[-1].caching


async def test_each_cause_is_told_with_the_block_that_changed(gateway: Gateway) -> None:
    expected, found = {}, {}
    for number, (name, (change, why)) in enumerate(SECOND.items()):
        body = first_turn()
        body["system"][0]["text"] += f" Session {number}."  # each conversation is new to the provider's cache
        body["tools"][0]["description"] += str(number)
        begun = await ask(gateway, f"session-{number:08}", body)
        assert begun is not None and begun.broke is None and begun.saved_nanousd < 0  # it wrote, and read nothing
        told = await ask(gateway, f"session-{number:08}", change(body))
        expected[name] = why
        found[name] = told and told.broke and (told.broke.cause, told.broke.block, told.broke.detail)
        if told and told.broke:
            is_lost = told.broke.lost_tokens > 0 and told.broke.lost_nanousd > 0
            assert is_lost is not told.broke.cause.startswith("history")  # what is no longer there is not lost
            assert told.broke.before == gateway.journal.settled[-2].call_id
    assert found == expected


def prices(scope: str) -> dict[str, Decimal]:
    """USD per token of Claude Sonnet 4.5, as the catalog's file writes them."""
    file = resources.files("sekisho.ledger").joinpath("catalog_data", "anthropic.json")
    models = json.loads(file.read_text(), parse_float=Decimal)["models"]
    listed = next(one for one in models if one["name"] == "claude-sonnet-4-5")["prices"][scope]
    return {name: Decimal(listed[name]) / 10**6 for name in ("input", "cache_read", "cache_write_5m")}


async def test_dollars_are_those_of_the_price_list(gateway: Gateway) -> None:
    body = first_turn()
    await ask(gateway, "session-dollars", body)
    hit = await ask(gateway, "session-dollars", next_turn(body))
    settled = gateway.journal.settled[-1]
    usd = prices(settled.attempts[0].price_scope)
    usage = settled.usage
    assert usage.cache_read_tokens > 1_024 and hit is not None
    saved = usage.cache_read_tokens * (usd["input"] - usd["cache_read"])
    saved -= usage.cache_write_5m_tokens * (usd["cache_write_5m"] - usd["input"])
    assert abs(hit.saved_nanousd - saved * 10**9) < 1  # each of two costs is rounded up to a whole nano-USD
    later = next_turn(next_turn(body))
    later["tools"].reverse()
    broken = await ask(gateway, "session-dollars", later)
    assert broken is not None and broken.broke is not None
    cached = usage.cache_read_tokens + usage.cache_write_5m_tokens
    assert broken.broke.lost_tokens == cached
    lost = cached * (usd["cache_write_5m"] - usd["cache_read"]) * 10**9
    assert abs(broken.broke.lost_nanousd - lost) < 1


async def test_a_client_that_marks_nothing_and_a_prompt_too_short_are_told_apart(gateway: Gateway) -> None:
    body = without_marks(first_turn())
    assert await ask(gateway, "session-unmarked", body) is None
    told = await ask(gateway, "session-unmarked", without_marks(next_turn(body)))
    assert told is not None and told.broke is not None
    assert (told.broke.cause, told.saved_nanousd) == ("unmarked", 0)
    usd = prices(gateway.journal.settled[-1].attempts[0].price_scope)
    usage = gateway.journal.settled[-1].usage
    could = told.broke.lost_tokens * (usd["input"] - usd["cache_read"])
    could -= (usage.input_tokens - told.broke.lost_tokens) * (usd["cache_write_5m"] - usd["input"])
    assert abs(told.broke.lost_nanousd - could * 10**9) < 1
    short = first_turn() | {"tools": [tool("read")], "system": [{"type": "text", "text": "Be brief. " * 90, **MARK}]}
    short["messages"] = [user("Hi. " * 100, **MARK)]
    assert await ask(gateway, "session-short", short) is None
    told = await ask(gateway, "session-short", next_turn(short))
    assert told is not None and told.broke is not None and told.broke.cause == "below_minimum"


async def test_titles_and_other_conversations_of_a_task_are_not_breaks(gateway: Gateway) -> None:
    body = first_turn()
    await ask(gateway, "session-titles", body)
    title = {"model": "claude-sonnet-4-5", "max_tokens": 20, "messages": [user("Write a title. " * 400)]}
    assert await ask(gateway, "session-titles", title) is None
    told = await ask(gateway, "session-titles", next_turn(body))
    assert told is not None and told.broke is None
