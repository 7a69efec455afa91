"""Provisioning over SCIM, with bodies in the shapes that Entra ID and Okta document: people and groups come, change,
leave and come back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.browsing import Shared, shared_console
from tests.acceptance.control_plane import MASTER, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
ENTRA_USER = {
    "schemas": [SCHEMA, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
    "externalId": "0a1b2c",
    "userName": "Alice@Example.com",
    "active": True,
    "addresses": None,
    "displayName": "Alice Adams",
    "emails": [{"type": "work", "value": "alice@example.com", "primary": True}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "Alice Adams", "familyName": "Adams", "givenName": "Alice"},
    "roles": [],
}
OKTA_USER = {
    "schemas": [SCHEMA],
    "userName": "bob@example.com",
    "name": {"givenName": "Bob", "familyName": "Baker"},
    "emails": [{"primary": True, "value": "bob@example.com", "type": "work"}],
    "displayName": "Bob Baker",
    "locale": "en-US",
    "externalId": "00u1",
    "groups": [],
    "password": "initial-password-of-okta",
    "active": True,
}


class Directory:
    """The organisation's directory with its access token."""

    def __init__(self, shared: Shared, token: str) -> None:
        self.running = shared.running
        self.shared = shared
        self.headers = bearer(token) | {"content-type": "application/scim+json"}

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {} if body is None else {"json": body}
        return await self.running.gate.request(method, f"/scim/v2{path}", headers=self.headers | headers, **sent)

    async def made(self, body: dict[str, Any], path: str = "/Users") -> Any:
        answer = await self.ask("POST", path, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def patch(self, path: str, *operations: dict[str, Any]) -> Any:
        return await self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})

    async def key_of(self, user: str) -> Any:
        return (await self.running.operator.post("/admin/v1/keys", json={"user_id": user})).json()

    async def blocked(self, key: Any) -> bool:
        """Whether the call plane would refuse this key: as the newest snapshot says."""
        snapshot = self.running.plane._snapshot
        assert snapshot is not None
        return next(one.blocked for one in snapshot.keys if one.id == key["id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    async with shared_console(tmp_path_factory.mktemp("scim") / "home") as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def directory(shared: Shared) -> AsyncIterator[Directory]:
    operator = shared.running.operator
    await operator.post("/admin/v1/users", json={"id": "entra", "kind": "service"})
    await operator.post("/admin/v1/role-grants", json={"user_id": "entra", "role": "directory"})
    token = (await operator.post("/admin/v1/tokens", json={"user_id": "entra"})).json()["token"]
    made = Directory(shared, token)
    yield made
    for group in (await made.ask("GET", "/Groups")).json()["Resources"]:
        await made.ask("DELETE", f"/Groups/{group['id']}")
    await shared.clear()


async def test_a_user_of_entra_id_is_made_found_and_given_back(directory):
    assert (await directory.ask("GET", '/Users?filter=userName eq "alice@example.com"')).json()["totalResults"] == 0
    made = await directory.made(ENTRA_USER)
    assert made["meta"]["location"] == f"/scim/v2/Users/{made['id']}"
    for asked in ('userName eq "ALICE@example.com"', 'externalId eq "0a1b2c"'):
        found = (await directory.ask("GET", f"/Users?filter={asked}")).json()
        assert [one["id"] for one in found["Resources"]] == [made["id"]]
        assert found["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    user = (await directory.running.operator.get("/admin/v1/users/alice@example.com")).json()
    assert (user["alias"], user["email"], user["created_by"]) == ("Alice Adams", "alice@example.com", "directory")
    answer = await directory.ask("GET", f"/Users/{made['id']}")
    assert answer.headers["content-type"].startswith("application/scim+json")
    assert answer.json()["userName"] == "Alice@Example.com"
    same = await directory.ask("GET", f"/Users/{made['id']}", **{"if-none-match": answer.headers["etag"]})
    assert same.status_code == 304
    several = await directory.ask("GET", f"/Users/{made['id']}", **{"if-none-match": f'"0", {answer.headers["etag"]}'})
    assert several.status_code == 304


@pytest.mark.parametrize("kind", ["Users", "Groups"])
async def test_a_change_of_a_version_that_is_not_here_any_more_is_refused(directory, kind):
    name = "userName" if kind == "Users" else "displayName"
    made = await directory.made({name: "alice"}, f"/{kind}")
    path, old = f"/{kind}/{made['id']}", made["meta"]["version"]
    rename = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": name, "value": "ally"}]}
    renamed = await directory.ask("PATCH", path, rename, **{"if-match": old})
    assert renamed.status_code == 200
    for method, body in (("PATCH", rename), ("PUT", {name: "alice"}), ("DELETE", None)):
        late = await directory.ask(method, path, body, **{"if-match": old})
        assert (late.status_code, late.json()["schemas"]) == (412, [ERROR]), method
    assert (await directory.ask("GET", path)).json()[name] == "ally"
    assert (await directory.ask("DELETE", path, **{"if-match": "*"})).status_code == 204


async def test_a_leaver_loses_session_token_and_keys_at_once_and_gets_back_what_the_rules_say(directory):
    made = await directory.made(OKTA_USER)
    operator, gate = directory.running.operator, directory.running.gate
    key, by_hand = await directory.key_of("bob@example.com"), await directory.key_of("bob@example.com")
    await operator.post(f"/admin/v1/keys/{by_hand['id']}/block")
    token = (await operator.post("/admin/v1/tokens", json={"user_id": "bob@example.com"})).json()["token"]
    browser = directory.shared.new()
    await browser.open((await operator.post("/admin/v1/accounts/bob@example.com/invite")).json()["path"])
    await browser.send("/console/enter")
    assert (await browser.open("/console/account")).status_code == 200
    assert not await directory.blocked(key)

    left = await directory.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": False}})
    assert left.json()["active"] is False
    assert await directory.blocked(key)
    assert (await gate.get("/admin/v1/me", headers=bearer(token))).status_code == 401
    assert (await browser.open("/console/account")).headers["location"] == "/console/sign-in"
    await operator.post(f"/admin/v1/keys/{key['id']}/unblock")
    assert await directory.blocked(key)  # nobody unblocks a leaver's key
    late = await directory.key_of("bob@example.com")
    assert await directory.blocked(late)

    await directory.patch(f"/Users/{made['id']}", {"op": "Replace", "path": "active", "value": "True"})
    assert not await directory.blocked(late)  # made after the leaving
    assert (await gate.get("/admin/v1/me", headers=bearer(token))).status_code == 401
    await operator.post(f"/admin/v1/keys/{key['id']}/unblock")
    await directory.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": False}})
    await directory.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": True}})
    assert await directory.blocked(key)  # back, and the key stays blocked
    await operator.post(f"/admin/v1/keys/{key['id']}/unblock")
    await operator.put("/admin/v1/settings/sign-in", json={"returning": "restored"})
    await directory.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": False}})
    assert await directory.blocked(key)
    await directory.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": True}})
    assert not await directory.blocked(key)
    assert await directory.blocked(by_hand)  # blocked for another reason


async def test_who_has_left_comes_back_only_where_the_directory_says_so(directory):
    made = await directory.made(OKTA_USER)
    key = await directory.key_of("bob@example.com")
    await directory.patch(f"/Users/{made['id']}", {"op": "replace", "value": {"active": False}})
    silent = {name: value for name, value in OKTA_USER.items() if name != "active"} | {"displayName": "Robert"}
    assert (await directory.ask("PUT", f"/Users/{made['id']}", silent)).json()["active"] is False
    renamed = await directory.patch(f"/Users/{made['id']}", {"op": "remove", "path": "active"})
    assert (renamed.json()["active"], renamed.json()["displayName"]) == (False, "Robert")
    assert await directory.blocked(key)


async def test_what_is_said_at_once_is_all_kept(directory):
    made = await directory.made(OKTA_USER)
    path = f"/Users/{made['id']}"
    changes: list[dict[str, Any]] = [
        {"op": "replace", "path": "displayName", "value": f"Bob {number}"} for number in range(6)
    ]
    changes.insert(3, {"op": "replace", "path": "active", "value": False})
    await asyncio.gather(*(directory.patch(path, change) for change in changes))
    assert (await directory.ask("GET", path)).json()["active"] is False
    people = [await directory.made({"userName": f"user{number}@example.com"}) for number in range(6)]
    group = await directory.made({"displayName": "dept-a"}, "/Groups")
    adding = [{"op": "Add", "path": "members", "value": [{"value": one["id"]}]} for one in people]
    await asyncio.gather(*(directory.patch(f"/Groups/{group['id']}", change) for change in adding))
    members = (await directory.ask("GET", f"/Groups/{group['id']}")).json()["members"]
    assert {one["value"] for one in members} == {one["id"] for one in people}


async def test_a_role_of_a_group_is_gone_with_the_next_click(directory):
    await directory.running.operator.put(
        "/admin/v1/settings/sign-in", json={"groups": [{"group": "money", "role": "cost_manager"}]}
    )
    bob = await directory.made(OKTA_USER)
    group = await directory.made({"displayName": "money", "members": [{"value": bob["id"]}]}, "/Groups")
    browser = directory.shared.new()
    await browser.open(
        (await directory.running.operator.post("/admin/v1/accounts/bob@example.com/invite")).json()["path"]
    )
    await browser.send("/console/enter")
    assert (await browser.open("/console/overview")).status_code == 200
    await directory.patch(f"/Groups/{group['id']}", {"op": "remove", "path": f'members[value eq "{bob["id"]}"]'})
    assert (await browser.open("/console/overview")).status_code == 404
    assert (await browser.open("/console/account")).status_code == 200


async def test_a_deleted_user_has_left_is_gone_for_scim_and_comes_back_as_the_same_person(directory):
    made = await directory.made(OKTA_USER)
    key = await directory.key_of("bob@example.com")
    assert (await directory.ask("DELETE", f"/Users/{made['id']}")).status_code == 204
    assert await directory.blocked(key)
    gone = await directory.ask("GET", f"/Users/{made['id']}")
    assert (gone.status_code, gone.json()["schemas"], gone.json()["status"]) == (404, [ERROR], "404")
    assert (await directory.ask("DELETE", f"/Users/{made['id']}")).status_code == 404
    again = await directory.made(OKTA_USER)
    assert again["id"] != made["id"]
    assert await directory.blocked(key)  # by default what was theirs stays blocked
    actions = [
        one["action"] for one in (await directory.running.operator.get("/admin/v1/audit?limit=20")).json()["entries"]
    ]
    assert {"user.leave", "user.return", "scim.delete_user"} <= set(actions)


async def test_groups_give_teams_and_roles_and_take_them_away(directory):
    operator = directory.running.operator
    await operator.post("/admin/v1/teams", json={"id": "red"})
    rules = [{"group": "dept-a", "team_id": "red"}, {"group": "obj-7", "role": "cost_manager"}]
    await operator.put("/admin/v1/settings/sign-in", json={"groups": rules})
    alice, bob = await directory.made(ENTRA_USER), await directory.made(OKTA_USER)
    group = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "dept-a", "externalId": "obj-7"}
    made = await directory.made(group | {"members": [{"value": alice["id"]}]}, "/Groups")

    async def members() -> set[str]:
        team = (await operator.get("/admin/v1/teams/red")).json()
        return {one["user_id"] for one in team["members"]}

    async def managers() -> set[str]:
        grants = (await operator.get("/admin/v1/role-grants")).json()["grants"]
        return {one["user_id"] for one in grants if one["role"] == "cost_manager"}

    assert (await members(), await managers()) == ({"alice@example.com"}, {"alice@example.com"})
    await directory.patch(f"/Groups/{made['id']}", {"op": "Add", "path": "members", "value": [{"value": bob["id"]}]})
    assert await members() == {"alice@example.com", "bob@example.com"}
    shown = (await directory.ask("GET", f"/Users/{bob['id']}")).json()["groups"]
    assert [(one["value"], one["display"]) for one in shown] == [(made["id"], "dept-a")]
    removed = {"op": "remove", "path": f'members[value eq "{alice["id"]}"]'}
    await directory.patch(f"/Groups/{made['id']}", removed)
    assert await members() == {"bob@example.com"}
    listed = (await directory.ask("GET", '/Groups?excludedAttributes=members&filter=displayName eq "dept-a"')).json()
    assert "members" not in listed["Resources"][0]
    await directory.ask("PUT", f"/Groups/{made['id']}", group | {"members": []})
    assert await members() == set()
    await directory.ask("PUT", f"/Groups/{made['id']}", group | {"members": [{"value": bob["id"]}]})
    await directory.ask("DELETE", f"/Groups/{made['id']}")
    assert (await members(), await managers()) == (set(), set())


async def test_a_name_is_given_once_and_refusals_speak_scim(directory):
    await directory.made(ENTRA_USER)
    for body, status, kind in (
        (ENTRA_USER | {"userName": "ALICE@example.com"}, 409, "uniqueness"),
        ({"userName": "entra"}, 409, "uniqueness"),  # a service account of ours
        ({"displayName": "nobody"}, 400, "invalidValue"),
        (["x"], 400, "invalidSyntax"),
    ):
        answer = await directory.ask("POST", "/Users", body)
        assert (answer.status_code, answer.json()["scimType"], answer.json()["status"]) == (status, kind, str(status))
        assert answer.json()["schemas"] == [ERROR]
    missing = await directory.ask("POST", "/Groups", {"displayName": "x", "members": [{"value": "nobody"}]})
    assert missing.json()["scimType"] == "invalidValue"
    refused = await directory.ask("GET", '/Users?filter=title eq "x"')
    assert (refused.status_code, refused.json()["scimType"]) == (400, "invalidFilter")


async def test_pages_begin_at_one_and_know_how_many_there_are(directory):
    for number in range(5):
        await directory.made({"userName": f"user{number}@example.com"})
    found: list[str] = []
    for start in (1, 3, 5):
        page = (await directory.ask("GET", f"/Users?startIndex={start}&count=2")).json()
        assert (page["totalResults"], page["startIndex"]) == (5, start)
        found += [one["userName"] for one in page["Resources"]]
    assert sorted(found) == [f"user{number}@example.com" for number in range(5)]
    assert (await directory.ask("GET", "/Users?count=0")).json()["Resources"] == []


async def test_what_this_provider_can_do_is_told(directory):
    config = (await directory.ask("GET", "/ServiceProviderConfig")).json()
    assert (config["patch"]["supported"], config["bulk"]["supported"], config["filter"]["supported"]) == (
        True,
        False,
        True,
    )
    types = (await directory.ask("GET", "/ResourceTypes")).json()["Resources"]
    assert [one["endpoint"] for one in types] == ["/Users", "/Groups"]
    schemas = (await directory.ask("GET", "/Schemas")).json()["Resources"]
    assert (await directory.ask("GET", f"/Schemas/{SCHEMA}")).json()["id"] == schemas[0]["id"] == SCHEMA


async def test_only_the_directory_and_administrators_provision(directory):
    operator, gate = directory.running.operator, directory.running.gate
    routes = [
        ("GET", "/ServiceProviderConfig"),
        ("GET", "/ResourceTypes"),
        ("GET", "/Schemas"),
        ("GET", f"/Schemas/{SCHEMA}"),
    ]
    for kind in ("Users", "Groups"):
        routes += [("GET", f"/{kind}"), ("POST", f"/{kind}")]
        routes += [(method, f"/{kind}/x") for method in ("GET", "PUT", "PATCH", "DELETE")]
    await operator.post("/admin/v1/teams", json={"id": "red"})
    for role in ("cost_manager", "team_lead", "developer", "auditor"):
        await operator.post("/admin/v1/users", json={"id": role})
        if role != "developer":
            team = "red" if role == "team_lead" else ""
            await operator.post("/admin/v1/role-grants", json={"user_id": role, "role": role, "team_id": team})
        token = (await operator.post("/admin/v1/tokens", json={"user_id": role})).json()["token"]
        for method, path in routes:
            answer = await gate.request(method, f"/scim/v2{path}", headers=bearer(token), json={})
            assert (answer.status_code, answer.json()["schemas"]) == (403, [ERROR]), (role, path)
    key = (await operator.post("/admin/v1/keys", json={})).json()["key"]
    for method, path in routes:
        assert (await gate.request(method, f"/scim/v2{path}")).status_code == 401
        assert (await gate.request(method, f"/scim/v2{path}", headers=bearer(key))).status_code == 403
        answer = await gate.request(method, f"/scim/v2{path}", headers=bearer(MASTER), json={})
        assert answer.status_code not in (401, 403), path
    me = (await gate.get("/admin/v1/users", headers=directory.headers)).json()["users"]
    assert {one["id"] for one in me} == {"entra"}  # the directory sees no more than itself
