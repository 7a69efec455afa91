"""Tasks: what the gateway makes of the calls of agents, and who may look at them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from sekisho.calls.gate import Limits
from sekisho.clock import id_text
from sekisho.values import RateLimit, Scope
from tests.acceptance.conftest import ALICE, Gateway
from tests.acceptance.control_plane import Running, bearer, running_control_plane, task_of

TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}]
SYSTEM = {"role": "system", "content": "You are Cline, an AI coding agent.\nWorking directory: /home/x/portal\n"}


@pytest.fixture
def limits() -> Limits:
    return Limits(idle_timeout_s=20, loop_slow_after=3, loop_stop_after=4, slow_down_first_s=0.01)


async def ask(gateway: Gateway, *messages: dict[str, Any]) -> dict[str, Any]:
    """The model's message, as an agent sends it back."""
    body = {"model": "claude-sonnet-4-5", "messages": [SYSTEM, *messages], "tools": TOOLS}
    headers = {**bearer(ALICE), "user-agent": "ai-sdk"}
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(gateway.url + "/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    message: dict[str, Any] = answer.json()["choices"][0]["message"]
    return {name: value for name, value in message.items() if value}


def tell(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer, and what comes after it: the results of its tools, else a person's next words."""
    calls = answer.get("tool_calls", ())
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "def parse(): ..."} for call in calls]
    return [answer, *(results or [{"role": "user", "content": "Go on."}])]


async def test_the_calls_of_a_conversation_without_ids_are_one_task(gateway: Gateway) -> None:
    messages = [{"role": "user", "content": "Fix the parser."}]
    for _ in range(3):
        messages += tell(await ask(gateway, *messages))
    await ask(gateway, messages[0])  # the same words again: another task
    first, second, third, other = (opened.task for opened in gateway.journal.opened)
    assert (first.turn, first.mode, first.repository) == ("human", "act", "portal")
    assert second.was == first.id  # until the first answer was in it, no other process would have found it
    assert second.id == third.id
    assert other.id not in (first.id, second.id)
    assert all(sum(settled.classes_nanousd) == settled.cost_nanousd > 0 for settled in gateway.journal.settled)


async def test_a_refused_call_belongs_to_its_task_too(gateway: Gateway) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for model in ("claude-sonnet-4-5", "no-such-model"):
            body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
            headers = {**bearer(ALICE), "x-session-id": "ses_0123456789"}
            await client.post(gateway.url + "/v1/chat/completions", json=body, headers=headers)
    (opened,), (refused,) = gateway.journal.opened, gateway.journal.refused
    assert opened.task.id == refused.task.id


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def member(running: Running, name: str, team: str, role: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A person in a team with a key that has made two calls, and the headers of a token of theirs."""

    async def post(path: str, **body: Any) -> Any:
        answer = await running.operator.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    await post("/admin/v1/users", id=name)
    await post(f"/admin/v1/teams/{team}/members", user_id=name, role=role)
    key = await post("/admin/v1/keys", user_id=name, team_id=team)
    token = await post("/admin/v1/tokens", user_id=name)
    for cost in (2_000_000, 3_000_000):
        await running.call_of(key, cost)
    return key, bearer(token["token"])


async def test_everybody_sees_the_tasks_whose_calls_they_may_see(running: Running) -> None:
    for team in ("red", "blue"):
        await running.operator.post("/admin/v1/teams", json={"id": team})
    people = {
        name: await member(running, name, team, role)
        for name, team, role in (("alice", "red", "lead"), ("bob", "red", "member"), ("charlie", "blue", "member"))
    }
    ids = {name: id_text(task_of(key)) for name, (key, _) in people.items()}

    async def seen_by(headers: dict[str, str]) -> set[str]:
        page = (await running.gate.get("/admin/v1/tasks", headers=headers)).json()
        listed = {name for name, task in ids.items() if task in {one["id"] for one in page["tasks"]}}
        for name, task in ids.items():
            for path in (f"/admin/v1/tasks/{task}", f"/admin/v1/tasks/{task}/calls"):
                answer = await running.gate.get(path, headers=headers)
                assert answer.status_code == (200 if name in listed else 404)
        return listed

    assert await seen_by(people["alice"][1]) == {"alice", "bob"}
    assert await seen_by(people["bob"][1]) == {"bob"}
    assert await seen_by(people["charlie"][1]) == {"charlie"}
    assert {one["id"] for one in (await running.operator.get("/admin/v1/tasks")).json()["tasks"]} == set(ids.values())

    detail = (await running.operator.get(f"/admin/v1/tasks/{ids['bob']}")).json()
    assert (detail["status"], detail["calls"], detail["turns"], detail["cost_nanousd"]) == ("idle", 2, 2, 5_000_000)
    assert [(one["mode"], one["cost_nanousd"]) for one in detail["modes"]] == [("act", 5_000_000)]
    page = (await running.operator.get(f"/admin/v1/tasks/{ids['bob']}/calls?limit=1")).json()
    following = (await running.operator.get(f"/admin/v1/tasks/{ids['bob']}/calls?before={page['next']}")).json()
    costs = [call["cost_nanousd"] for call in (*page["calls"], *following["calls"])]
    assert (costs, following["next"]) == ([3_000_000, 2_000_000], None)


async def test_pages_of_tasks_follow_each_other(running: Running) -> None:
    keys = [(await running.operator.post("/admin/v1/keys", json={})).json() for _ in range(3)]
    for number, key in enumerate(keys):
        await running.call_of(key, (number % 2 + 1) * 1_000_000 + number)
    found, after = [], ""
    while True:
        page = (await running.operator.get(f"/admin/v1/tasks?limit=1&sort=cost&after={after}")).json()
        found += [one["cost_nanousd"] for one in page["tasks"]]
        after = page["next"]
        if after is None:
            break
    assert found == [2_000_001, 1_000_002, 1_000_000]
    for wrong in ("x", "1", "1.2.3", "9" * 30 + ".1"):
        assert (await running.operator.get(f"/admin/v1/tasks?after={wrong}")).status_code == 400


def cap(gateway: Gateway, *limits: RateLimit) -> None:
    """Put these limits in force."""
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    gateway.registry.load(replace(snapshot, limits=limits))


async def refused(gateway: Gateway, *messages: dict[str, Any]) -> dict[str, Any]:
    """The error of a call, in the client's language."""
    body = {"model": "claude-sonnet-4-5", "messages": [SYSTEM, *messages], "tools": TOOLS}
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(
            gateway.url + "/v1/chat/completions", json=body, headers={**bearer(ALICE), "user-agent": "ai-sdk"}
        )
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


async def test_a_task_ends_at_its_cap_and_a_new_one_goes_on(gateway: Gateway) -> None:
    cap(gateway, RateLimit("few", Scope("team", "red"), calls_per_task=2), RateLimit("cap", Scope("org", "org")))
    messages = [{"role": "user", "content": "Fix the parser."}]
    for _ in range(2):
        messages += tell(await ask(gateway, *messages))
    error = await refused(gateway, *messages)
    assert (error["type"], "2 calls per task" in error["message"], "new task" in error["message"]) == (
        "budget_exceeded", True, True,
    )  # fmt: skip
    await ask(gateway, {"role": "user", "content": "Another thing."})
    assert [one.task.id for one in gateway.journal.refused] == [gateway.journal.opened[1].task.id]


async def test_a_cap_of_dollars_holds_before_the_call_and_shortens_the_last_answer(gateway: Gateway) -> None:
    cap(gateway, RateLimit("cap", Scope("user", "alice"), nanousd_per_task=60_000_000))
    await ask(gateway, {"role": "user", "content": "Fix the parser."})
    (opened,) = gateway.journal.opened
    assert 0 < opened.clamped_tokens  # the longest answer would have cost more
    assert opened.reserved_nanousd <= 60_000_000
    cap(gateway, RateLimit("cap", Scope("user", "alice"), nanousd_per_task=1_000))
    assert "$0.00 per task" in (await refused(gateway, {"role": "user", "content": "Fix another."}))["message"]


async def test_a_loop_is_slowed_down_then_stopped_and_goes_on_with_a_new_message(gateway: Gateway) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Fix the parser."}]

    def fail(number: int) -> None:
        call = {
            "id": f"call_{number:05d}",
            "type": "function",
            "function": {"name": "run", "arguments": '{"c": "make"}'},
        }
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        content = f"Error: exited with code 2 after {number} s"
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})

    for number in range(4):
        if number:
            await ask(gateway, *messages)
        fail(number)
    error = await refused(gateway, *messages)
    assert "loop" in error["message"]
    assert await refused(gateway, *messages) == error  # sent again it stays refused
    assert [opened.delayed_ms > 0 for opened in gateway.journal.opened] == [False, False, True]
    assert [one.error for one in gateway.journal.refused] == ["loop_stopped", "loop_stopped"]
    await ask(gateway, *messages, {"role": "user", "content": "Use the other target."})


async def test_caps_are_limits_like_any_other_and_what_a_task_has_cost_can_be_asked_for(running: Running) -> None:
    scope = {"kind": "org", "id": "default"}
    answer = await running.operator.post(
        "/admin/v1/limits", json={"scope": scope, "nanousd_per_task": 5, "calls_per_task": 9}
    )
    made = answer.json()
    assert (answer.status_code, made["nanousd_per_task"], made["calls_per_task"], made["parallel"]) == (201, 5, 9, None)
    changed = (await running.operator.patch(f"/admin/v1/limits/{made['id']}", json={"calls_per_task": None})).json()
    assert (changed["nanousd_per_task"], changed["calls_per_task"]) == (5, None)
    key = (await running.operator.post("/admin/v1/keys", json={})).json()
    await running.call_of(key, 2_000_000)
    spent = await running.operator.get(f"/internal/tasks/{task_of(key).hex()}/spent")
    assert msgspec.msgpack.decode(spent.content) == [2_000_000, 1]
    unknown = await running.operator.get(f"/internal/tasks/{'00' * 16}/spent")
    assert msgspec.msgpack.decode(unknown.content) == [0, 0]
