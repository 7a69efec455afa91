"""The admin API does what its OpenAPI document says, whatever is sent: no 5xx, no half-done change."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.control_plane import Running, everything, files_with, running_control_plane
from tests.acceptance.openapi_requests import Requests
from tests.thorough import seeds

ADDRESS = "/admin/v1/openapi.json"
ORGANISATION = """\
teams:
  dept-a:
    alias: 部門A
    leads: [alice]
    budgets: {m: {amount: 10 USD, per: month}}
    members: {bob: {budgets: {m: {amount: 5 USD, per: month}}}}
  dept-b: {limits: {l: {requests_per_minute: 5}}}
users: {charlie: {}}
tags: {x: {budgets: {t: {amount: 1 USD, per: once}}}}
budget_templates: {shared: {max_budget: 1 USD, per: 30d}}
"""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def document_of(running: Running) -> Any:
    response = await running.operator.get(ADDRESS)
    assert response.status_code == 200
    return response.json()


async def known_values(running: Running) -> dict[str, list[str]]:
    """An organisation with one of everything, and the names of its parts by the parameters that take them."""
    made = await running.operator.post("/admin/v1/apply", json={"document": ORGANISATION})
    assert made.status_code == 200, made.text
    keys = []
    for number in range(3):
        made = await running.operator.post("/admin/v1/keys", json={"alias": f"k{number}", "team_id": "dept-a"})
        keys.append(made.json()["id"])
    known = {"key_id": keys, "alias": ["k0"], "key": keys, "team_id": ["dept-a", "dept-b"], "name": ["x"]}
    known |= {"user_id": ["alice", "bob", "charlie"], "document": [ORGANISATION], "budget": ["shared"]}
    for kind in ("budget", "limit"):
        found = (await running.operator.get(f"/admin/v1/{kind}s")).json()[f"{kind}s"]
        known[f"{kind}_id"] = [one["id"] for one in found]
    return known


async def state(running: Running) -> str:
    """All that a refused request must leave alone."""
    parts = [(await running.operator.get("/admin/v1/export")).text]
    for path in ("role-grants", "tokens", "users", "teams", "keys", "budgets"):
        parts.append((await running.operator.get(f"/admin/v1/{path}?limit=500")).text)
    return "\n".join(parts)


@seeds(2)
async def test_whatever_is_sent_the_answer_is_in_the_document_and_a_refusal_changes_nothing(running, seed):
    draw = random.Random(seed)
    document = await document_of(running)
    requests = Requests(document, draw, await known_values(running))
    before = everything(running.home)
    answered = refused = 0
    operations = requests.operations()
    for _ in range(250):
        method, path, operation = draw.choice(operations)
        target, query, body = requests.request(path, operation)
        headers = {"content-type": "application/json"} if body is not None else {}
        response = await running.operator.request(method, target, params=query, content=body, headers=headers)
        told = f"{method} {target[:200]} {query} {(body or b'')[:300]!r}: {response.status_code} {response.text[:500]}"
        assert response.status_code < 500, told
        expected = operation["responses"].get(str(response.status_code))
        assert expected, told
        schema = expected.get("content", {}).get("application/json", {}).get("schema")
        if schema is not None:
            assert requests.mismatch(response.json(), schema) == "", told
        if response.status_code >= 400:
            refused += 1
            assert response.json()["error"]["message"], told
            assert everything(running.home) == before, told
        else:  # also a GET: who searches what others said is in the audit log
            answered += method != "GET"
            before = everything(running.home)
    assert answered > 10
    assert refused > 50


PAGED = ("keys", "teams", "users", "tags", "budgets", "limits", "tokens")


async def test_every_create_does_its_work_once_under_an_idempotency_key(running):
    document = await document_of(running)
    creating = [
        path
        for path, operations in document["paths"].items()
        if "201" in operations.get("post", {}).get("responses", {})
    ]
    assert "/admin/v1/keys" in creating
    for path in [*creating, "/key/generate", "/team/new", "/user/new", "/budget/new", "/tag/new"]:
        parameters = document["paths"][path]["post"]["parameters"]
        assert "Idempotency-Key" in [parameter["name"] for parameter in parameters], path


async def test_a_key_that_is_asked_for_twice_is_made_once_and_its_secret_is_not_in_the_database(running):
    headers = {"idempotency-key": "only-the-client-knows"}
    first = await running.operator.post("/admin/v1/keys", json={"alias": "k"}, headers=headers)
    again = await running.operator.post("/admin/v1/keys", json={"alias": "k"}, headers=headers)
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert files_with(running.home, first.json()["key"]) == []
    assert len((await running.operator.get("/admin/v1/keys")).json()["keys"]) == 1


async def test_what_is_asked_for_many_times_at_once_is_made_once(running):
    """Also by several people under the same idempotency key: each has an own one."""
    for user in ("alice", "bob"):
        await running.operator.post("/admin/v1/users", json={"id": user})
        await running.operator.post("/admin/v1/role-grants", json={"user_id": user, "role": "platform_admin"})
    made = [await running.operator.post("/admin/v1/tokens", json={"user_id": user}) for user in ("alice", "bob")]
    who = [{"authorization": f"Bearer {one.json()['token']}"} for one in made]
    scope = {"kind": "user", "id": "alice"}
    body = {"scope": scope, "amount_usd": 1, "window": {"kind": "day"}}
    answers = await asyncio.gather(
        *(running.gate.post("/admin/v1/budgets", json=body, headers=one | {"idempotency-key": "x"}) for one in who * 10)
    )
    good = [one.json()["id"] for one in answers if one.status_code == 201]
    assert {one.status_code for one in answers} <= {201, 409}
    assert len(set(good)) == 2 == len((await running.operator.get("/admin/v1/budgets")).json()["budgets"])
    for one in who:
        again = await running.gate.post("/admin/v1/budgets", json=body, headers=one | {"idempotency-key": "x"})
        assert (again.status_code, again.json()["id"] in good) == (201, True)
        other = await running.gate.post(
            "/admin/v1/budgets", json=body | {"amount_usd": 2}, headers=one | {"idempotency-key": "x"}
        )
        assert other.status_code == 409


@pytest.mark.parametrize("kind", PAGED)
async def test_pages_stay_whole_while_things_are_made_and_deleted(running, kind):
    async def make(number: int) -> str:
        scope = {"kind": "org", "id": "default"}
        bodies: dict[str, dict[str, Any]] = {
            "keys": {"alias": f"k{number}"},
            "tags": {"name": f"t{number}"},
            "budgets": {"scope": scope, "amount_usd": 1, "window": {"kind": "day"}},
            "limits": {"scope": scope, "parallel": 1},
            "tokens": {"user_id": "alice", "name": f"n{number}"},
        }
        running.clock.advance(1)
        made = await running.operator.post(f"/admin/v1/{kind}", json=bodies.get(kind, {"id": f"i{number}"}))
        assert made.status_code == 201, made.text
        return str(made.json().get("id") or made.json()["name"])

    await running.operator.post("/admin/v1/users", json={"id": "alice"})
    made = [await make(number) for number in range(10, 17)]
    await running.operator.delete(f"/admin/v1/{kind}/{made.pop(3)}")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await running.operator.get(f"/admin/v1/{kind}", params={"limit": 2, "after": after})).json()
        assert set(page) == {kind, "next"}
        seen += [one.get("id") or one["name"] for one in page[kind]]
        after = page["next"]
        await make(90 + len(seen))
    assert [one for one in seen if one in made] == sorted(made, reverse=kind in ("keys", "budgets", "limits", "tokens"))
    assert len(seen) == len(set(seen))


async def test_the_document_says_all_about_every_operation(running):
    document = await document_of(running)
    ids = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["tags"], path
            assert {"400", "401", "403", "503"} <= set(operation["responses"]), path
            ids.add(operation["operationId"])
    assert len(ids) == sum(len(operations) for operations in document["paths"].values())
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references == set(document["components"]["schemas"])


HOSTILE = [
    b'{"alias": "\\u0000"}',
    b'{"alias": "\\ud800"}',
    b'{"metadata": {"\\udc00": 1}}',
    b'{"metadata": {"x": NaN}}',
    b'{"metadata": {"x": -Infinity}}',
    b'{"metadata": {"x": ' + b"9" * 5000 + b"}}",
    b'{"alias": "a", "alias": "b"}',
    b'{"metadata": ' + b"[" * 30 + b"]" * 30 + b"}",
    b'{"metadata": ' + b"[" * 200_000,
    b'{"alias": "' + b"x" * 1_000_000 + b'"}',
    b"\xff\xfe{}",
]


@pytest.mark.parametrize("body", HOSTILE)
async def test_what_no_database_takes_is_refused_before_any_route_sees_it(running, body):
    before = await state(running)
    for path in ("/admin/v1/keys", "/admin/v1/users", "/key/generate", "/team/new"):
        response = await running.operator.post(path, content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400, response.text
    assert await state(running) == before


MONEY = ["-1", "1e999999", "NaN", "Infinity", "0x10", "", "1_000", "٣", "0.0000000001", "9000000.000000001", "1" * 5000]


@pytest.mark.parametrize("amount", [*MONEY, -1, -0.0001, True, None, [], {}, 10**30])
async def test_money_that_cannot_be_is_refused_on_every_way_in(running, amount):
    await running.operator.post("/admin/v1/teams", json={"id": "a"})
    before = await state(running)
    scope = {"scope": {"kind": "team", "id": "a"}, "window": {"kind": "month"}}
    sent: list[tuple[str, dict[str, Any]]] = [("/admin/v1/budgets", scope | {"amount_usd": amount})]
    if amount is not None:
        sent += [
            ("/team/update", {"team_id": "a", "max_budget": amount}),
            ("/key/generate", {"soft_budget": amount}),
            ("/budget/new", {"max_budget": amount}),
            ("/admin/v1/apply", {"document": f"teams: {{a: {{budgets: {{m: {{amount: {amount!r}, per: month}}}}}}}}"}),
        ]
    for path, body in sent:
        response = await running.operator.post(path, json=body)
        assert response.status_code == 400, (path, response.text)
    assert await state(running) == before
