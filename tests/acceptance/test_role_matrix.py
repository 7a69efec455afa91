"""Every route with every role: who may not use it is told so, and nobody uses it without saying who they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from sekisho.app.control_plane import create_control_app
from tests.acceptance.control_plane import MASTER, OverUnixSocket, Running, bearer, running_control_plane

EVERYWHERE = "everywhere"  # the role must hold in the whole organisation
SOMEWHERE = "somewhere"  # a role in a team, or for oneself, is enough; the route then judges each object
OPEN = ("/console", "/v1/sekisho/", "/admin/v1/hand-overs/redeem")  # not for principals, tested elsewhere

ROUTES: dict[str, tuple[str, str]] = {
    "GET /admin/v1/me": ("", SOMEWHERE),
    "GET /admin/v1/roles": ("", SOMEWHERE),
    "GET /admin/v1/role-grants": ("organisation:read", SOMEWHERE),
    "GET /admin/v1/role-grants/history": ("organisation:read", EVERYWHERE),
    "POST /admin/v1/role-grants": ("organisation:write", SOMEWHERE),
    "DELETE /admin/v1/role-grants": ("organisation:write", SOMEWHERE),
    "GET /admin/v1/tokens": ("organisation:read", SOMEWHERE),
    "POST /admin/v1/tokens": ("organisation:read", SOMEWHERE),
    "GET /admin/v1/tokens/{token_id}": ("organisation:read", SOMEWHERE),
    "DELETE /admin/v1/tokens/{token_id}": ("organisation:read", SOMEWHERE),
    "GET /admin/v1/hand-overs": ("organisation:read", SOMEWHERE),
    "GET /admin/v1/hand-overs/{hand_over_id}": ("organisation:read", SOMEWHERE),
    "DELETE /admin/v1/hand-overs/{hand_over_id}": ("organisation:read", SOMEWHERE),
    "GET /admin/v1/settings/required-metadata": ("settings:read", EVERYWHERE),
    "PUT /admin/v1/settings/required-metadata": ("settings:write", EVERYWHERE),
    "GET /admin/v1/settings/required-metadata/incomplete": ("settings:read", EVERYWHERE),
    "GET /admin/v1/settings/sign-in": ("settings:read", EVERYWHERE),
    "PUT /admin/v1/settings/sign-in": ("settings:write", EVERYWHERE),
    "GET /admin/v1/accounts/{user_id}": ("organisation:read", SOMEWHERE),
    "POST /admin/v1/accounts/{user_id}/invite": ("organisation:write", EVERYWHERE),
    "POST /admin/v1/accounts/{user_id}/reset": ("organisation:write", EVERYWHERE),
    "DELETE /admin/v1/accounts/{user_id}/sessions": ("organisation:read", SOMEWHERE),
    "GET /admin/v1/keys": ("keys:read", SOMEWHERE),
    "POST /admin/v1/keys": ("keys:write", SOMEWHERE),
    "GET /admin/v1/keys/{key_id}": ("keys:read", SOMEWHERE),
    "PATCH /admin/v1/keys/{key_id}": ("keys:write", SOMEWHERE),
    "DELETE /admin/v1/keys/{key_id}": ("keys:write", SOMEWHERE),
    "POST /admin/v1/keys/{key_id}/block": ("keys:write", SOMEWHERE),
    "POST /admin/v1/keys/{key_id}/unblock": ("keys:write", SOMEWHERE),
    "POST /admin/v1/keys/{key_id}/rotate": ("keys:write", SOMEWHERE),
    "GET /admin/v1/teams": ("organisation:read", SOMEWHERE),
    "POST /admin/v1/teams": ("organisation:write", EVERYWHERE),
    "GET /admin/v1/teams/{team_id}": ("organisation:read", SOMEWHERE),
    "PATCH /admin/v1/teams/{team_id}": ("organisation:write", EVERYWHERE),
    "DELETE /admin/v1/teams/{team_id}": ("organisation:write", EVERYWHERE),
    "POST /admin/v1/teams/{team_id}/members": ("organisation:write", SOMEWHERE),
    "DELETE /admin/v1/teams/{team_id}/members/{user_id}": ("organisation:write", SOMEWHERE),
    "GET /admin/v1/users": ("organisation:read", SOMEWHERE),
    "POST /admin/v1/users": ("organisation:write", EVERYWHERE),
    "GET /admin/v1/users/{user_id}": ("organisation:read", SOMEWHERE),
    "PATCH /admin/v1/users/{user_id}": ("organisation:write", EVERYWHERE),
    "DELETE /admin/v1/users/{user_id}": ("organisation:write", EVERYWHERE),
    "GET /admin/v1/tags": ("organisation:read", EVERYWHERE),
    "POST /admin/v1/tags": ("organisation:write", EVERYWHERE),
    "GET /admin/v1/tags/{name}": ("organisation:read", EVERYWHERE),
    "PATCH /admin/v1/tags/{name}": ("organisation:write", EVERYWHERE),
    "DELETE /admin/v1/tags/{name}": ("organisation:write", EVERYWHERE),
    "GET /admin/v1/budgets": ("budgets:read", SOMEWHERE),
    "POST /admin/v1/budgets": ("budgets:write", SOMEWHERE),
    "GET /admin/v1/budgets/{budget_id}": ("budgets:read", SOMEWHERE),
    "PATCH /admin/v1/budgets/{budget_id}": ("budgets:write", SOMEWHERE),
    "DELETE /admin/v1/budgets/{budget_id}": ("budgets:write", SOMEWHERE),
    "POST /admin/v1/budgets/{budget_id}/credits": ("budgets:write", EVERYWHERE),
    "GET /admin/v1/budgets/{budget_id}/credits": ("budgets:read", SOMEWHERE),
    "POST /admin/v1/budgets/{budget_id}/reset": ("budgets:write", EVERYWHERE),
    "GET /admin/v1/budgets/{budget_id}/history": ("budgets:read", SOMEWHERE),
    "GET /admin/v1/limits": ("limits:read", SOMEWHERE),
    "POST /admin/v1/limits": ("limits:write", SOMEWHERE),
    "GET /admin/v1/limits/{limit_id}": ("limits:read", SOMEWHERE),
    "PATCH /admin/v1/limits/{limit_id}": ("limits:write", SOMEWHERE),
    "DELETE /admin/v1/limits/{limit_id}": ("limits:write", SOMEWHERE),
    "GET /admin/v1/limits/{limit_id}/history": ("limits:read", SOMEWHERE),
    "GET /admin/v1/policies": ("rules:read", EVERYWHERE),
    "POST /admin/v1/policies": ("rules:write", EVERYWHERE),
    "GET /admin/v1/policies/{policy_id}": ("rules:read", EVERYWHERE),
    "PATCH /admin/v1/policies/{policy_id}": ("rules:write", EVERYWHERE),
    "DELETE /admin/v1/policies/{policy_id}": ("rules:write", EVERYWHERE),
    "GET /admin/v1/policies/{policy_id}/history": ("rules:read", EVERYWHERE),
    "POST /admin/v1/explain": ("keys:read", SOMEWHERE),
    "GET /admin/v1/calls/{call_id}/explain": ("spend:read", SOMEWHERE),
    "GET /admin/v1/calls": ("spend:read", SOMEWHERE),
    "GET /admin/v1/tasks": ("spend:read", SOMEWHERE),
    "GET /admin/v1/tasks/{task_id}/cache": ("spend:read", SOMEWHERE),
    "GET /admin/v1/cache": ("spend:read", SOMEWHERE),
    "GET /admin/v1/cache/breaks": ("spend:read", SOMEWHERE),
    "GET /admin/v1/tasks/{task_id}": ("spend:read", SOMEWHERE),
    "GET /admin/v1/tasks/{task_id}/calls": ("spend:read", SOMEWHERE),
    "GET /admin/v1/calls/{call_id}": ("spend:read", SOMEWHERE),
    "GET /admin/v1/content": ("settings:read", EVERYWHERE),
    "DELETE /admin/v1/content": ("content:write", EVERYWHERE),
    "GET /admin/v1/calls/{call_id}/content": ("content:read", SOMEWHERE),
    "GET /admin/v1/calls/{call_id}/content/request": ("content:read", SOMEWHERE),
    "GET /admin/v1/calls/{call_id}/content/answer": ("content:read", SOMEWHERE),
    "GET /admin/v1/content/search": ("content:read", SOMEWHERE),
    "GET /admin/v1/calls/{call_id}/conversation": ("content:read", SOMEWHERE),
    "GET /admin/v1/tasks/{task_id}/turns": ("content:read", SOMEWHERE),
    "DELETE /admin/v1/calls/{call_id}/content": ("content:write", EVERYWHERE),
    "GET /admin/v1/spend": ("spend:read", SOMEWHERE),
    "GET /admin/v1/settings/reporting": ("spend:read", EVERYWHERE),
    "PUT /admin/v1/settings/reporting": ("budgets:write", EVERYWHERE),
    "GET /admin/v1/audit": ("audit:read", EVERYWHERE),
    "GET /admin/v1/audit/head": ("audit:read", EVERYWHERE),
    "POST /key/generate": ("keys:write", SOMEWHERE),
    "POST /key/update": ("keys:write", SOMEWHERE),
    "POST /key/delete": ("keys:write", SOMEWHERE),
    "POST /key/block": ("keys:write", SOMEWHERE),
    "POST /key/unblock": ("keys:write", SOMEWHERE),
    "GET /key/info": ("", SOMEWHERE),  # a virtual key may ask about itself
    "GET /key/list": ("keys:read", SOMEWHERE),
    "POST /team/new": ("organisation:write", EVERYWHERE),
    "POST /team/update": ("organisation:write", EVERYWHERE),
    "GET /team/info": ("organisation:read", SOMEWHERE),
    "GET /team/list": ("organisation:read", SOMEWHERE),
    "POST /team/delete": ("organisation:write", EVERYWHERE),
    "POST /team/block": ("organisation:write", EVERYWHERE),
    "POST /team/unblock": ("organisation:write", EVERYWHERE),
    "POST /team/member_add": ("organisation:write", SOMEWHERE),
    "POST /team/member_update": ("organisation:write", SOMEWHERE),
    "POST /team/member_delete": ("organisation:write", SOMEWHERE),
    "POST /user/new": ("organisation:write", EVERYWHERE),
    "POST /user/update": ("organisation:write", EVERYWHERE),
    "GET /user/info": ("organisation:read", SOMEWHERE),
    "GET /user/list": ("organisation:read", SOMEWHERE),
    "POST /user/delete": ("organisation:write", EVERYWHERE),
    "POST /budget/new": ("budgets:write", EVERYWHERE),
    "POST /budget/update": ("budgets:write", EVERYWHERE),
    "POST /budget/info": ("budgets:read", EVERYWHERE),
    "GET /budget/list": ("budgets:read", EVERYWHERE),
    "POST /budget/delete": ("budgets:write", EVERYWHERE),
    "POST /tag/new": ("organisation:write", EVERYWHERE),
    "POST /tag/update": ("organisation:write", EVERYWHERE),
    "POST /tag/info": ("organisation:read", EVERYWHERE),
    "GET /tag/list": ("organisation:read", EVERYWHERE),
    "POST /tag/delete": ("organisation:write", EVERYWHERE),
    "POST /key/regenerate": ("keys:write", SOMEWHERE),
    "POST /key/{key}/regenerate": ("keys:write", SOMEWHERE),
    "POST /key/{key}/reset_spend": ("budgets:write", EVERYWHERE),
    "GET /spend/logs": ("spend:read", EVERYWHERE),
    "GET /spend/keys": ("spend:read", EVERYWHERE),
    "GET /spend/tags": ("spend:read", EVERYWHERE),
    "GET /spend/users": ("spend:read", EVERYWHERE),
    "POST /spend/calculate": ("spend:read", EVERYWHERE),
    "GET /global/spend": ("spend:read", EVERYWHERE),
    "GET /global/spend/report": ("spend:read", EVERYWHERE),
    "GET /user/daily/activity": ("spend:read", SOMEWHERE),
    "GET /team/daily/activity": ("spend:read", SOMEWHERE),
    "GET /tag/daily/activity": ("spend:read", SOMEWHERE),
    "GET /organization/daily/activity": ("spend:read", SOMEWHERE),
    "GET /organization/info": ("organisation:read", EVERYWHERE),
    "GET /organization/list": ("organisation:read", EVERYWHERE),
    "GET /admin/v1/bounds": ("spend:read", EVERYWHERE),
    "GET /admin/v1/status": ("settings:read", EVERYWHERE),
    "GET /admin/v1/events": ("budgets:read", EVERYWHERE),
    "GET /admin/v1/export": ("keys:read", EVERYWHERE),
    "POST /admin/v1/plan": ("keys:read", EVERYWHERE),
    "POST /admin/v1/apply": ("organisation:write", EVERYWHERE),
}
READ = {"organisation:read", "keys:read", "budgets:read", "limits:read", "spend:read"}
MONEY = {"budgets:read", "budgets:write", "limits:read", "limits:write"}
MAY: dict[str, set[str]] = {  # written again, so that the table in the code cannot change by accident
    "platform_admin": {permission for permission, _ in ROUTES.values()} | READ | MONEY,
    "cost_manager": {"organisation:read", "rules:read", "spend:read"} | MONEY,
    "team_lead": READ | MONEY | {"organisation:write", "keys:write"},
    "developer": READ | {"content:read"},
    "auditor": READ | {"content:read", "rules:read", "audit:read", "settings:read"},
}
LIMITED = ("team_lead", "developer")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


def routes_of(running: Running) -> set[str]:
    paths = create_control_app(running.plane).openapi()["paths"]
    found = {f"{method.upper()} {path}": path for path, methods in paths.items() for method in methods}
    return {name for name, path in found.items() if not path.startswith(OPEN)}


async def people(running: Running) -> dict[str, dict[str, str]]:
    """The headers of somebody with each role; the lead leads a team."""
    await running.operator.post("/admin/v1/teams", json={"id": "red"})
    headers = {}
    for role in MAY:
        await running.operator.post("/admin/v1/users", json={"id": role})
        grant = {"user_id": role, "role": role, "team_id": "red" if role == "team_lead" else ""}
        if role != "developer":
            assert (await running.operator.post("/admin/v1/role-grants", json=grant)).status_code == 201
        made = (await running.operator.post("/admin/v1/tokens", json={"user_id": role})).json()
        headers[role] = bearer(made["token"])
    return headers


async def ask(client: httpx.AsyncClient, name: str, headers: dict[str, str]) -> int:
    """The status of a request that names nothing that exists."""
    method, _, path = name.partition(" ")
    for parameter in ("{team_id}", "{user_id}", "{name}"):
        path = path.replace(parameter, "nothing")
    path = "/".join("0" * 26 if part.startswith("{") else part for part in path.split("/"))
    body: dict[str, str] | None = {} if method in ("POST", "PATCH", "PUT") else None
    return (await client.request(method, path, headers=headers, json=body)).status_code


async def test_every_route_is_in_the_table_and_every_line_of_the_table_is_a_route(running):
    assert routes_of(running) == set(ROUTES)


@pytest.mark.parametrize("role", MAY)
async def test_a_role_is_let_in_where_it_may_and_refused_everywhere_else(running, role):
    headers = (await people(running))[role]
    for name, (permission, reach) in ROUTES.items():
        is_everywhere = role not in LIMITED and permission in MAY[role]
        is_somewhere = permission in MAY[role] | MAY["developer"] | {""}  # everybody is a developer too
        is_let_in = is_everywhere or (reach == SOMEWHERE and is_somewhere)
        status = await ask(running.gate, name, headers)
        assert (status != 403) == is_let_in, (name, role, status)
        assert status not in (401, 500), (name, status)


async def test_the_master_key_and_the_operator_are_let_in_everywhere(running):
    await people(running)
    for name in ROUTES:
        for client, headers in ((running.gate, bearer(MASTER)), (running.operator, {})):
            assert await ask(client, name, headers) not in (401, 403, 500), name


async def test_nobody_is_let_in_without_a_name_and_no_virtual_key_administers(running):
    key = (await running.operator.post("/admin/v1/keys", json={})).json()["key"]
    for name in ROUTES:
        assert await ask(running.gate, name, {}) == 401, name
        assert await ask(running.gate, name, bearer("skt-" + "x" * 43)) == 401, name
        assert await ask(running.gate, name, bearer(key)) == (200 if name == "GET /key/info" else 403), name


async def test_over_the_socket_a_token_that_is_presented_decides_alone(running):
    headers = (await people(running))["developer"]
    assert isinstance(running.operator._transport, OverUnixSocket)
    assert await ask(running.operator, "POST /admin/v1/teams", headers) == 403
