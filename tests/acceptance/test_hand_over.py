"""One-time links: who gets the raw form of a key or a token, when, and that nobody else ever had it."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sekisho.app.console import create_console
from sekisho.app.control_plane import create_control_app
from sekisho.errors import StoreUnavailable
from tests.acceptance.control_plane import OverUnixSocket, Running, bearer, files_with, running_control_plane

KEYS, TOKENS, LINKS = "/admin/v1/keys", "/admin/v1/tokens", "/admin/v1/hand-overs"
STATUS = "/v1/sekisho/status"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


@pytest.fixture
async def browser(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody's browser, behind the gate."""
    app = create_control_app(
        running.plane, lambda services: create_console(services, is_simulated=False, command="sekisho")
    )
    headers = {"x-sekisho-forwarded": "127.0.0.1"}
    async with httpx.AsyncClient(transport=OverUnixSocket(app), base_url="http://localhost", headers=headers) as client:
        yield client


async def token_of(running: Running, name: str) -> dict[str, str]:
    await running.operator.post("/admin/v1/users", json={"id": name})
    return bearer((await running.operator.post(TOKENS, json={"user_id": name})).json()["token"])


async def link(running: Running, **fields: Any) -> dict[str, Any]:
    """A link to a new key."""
    answer = await running.operator.post(KEYS, json={"alias": "bob", "hand_over": {}} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert made["key"] is None
    return made


def secret_of(made: dict[str, Any]) -> str:
    return str(made["hand_over"]["path"]).rsplit("/", 1)[1]


async def redeem(running: Running, made: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    return await running.gate.post(f"{LINKS}/redeem", json={"secret": secret_of(made)}, headers=headers or {})


async def test_the_issuer_gets_a_link_and_the_key_is_made_when_it_is_redeemed_once(running):
    made = await link(running, user_id="bob")
    key = (await running.operator.get(f"{KEYS}/{made['id']}")).json()
    assert (key["is_handed_over"], key["hint"]) == (False, "")
    assert files_with(running.home, secret_of(made)) == []
    first = await redeem(running, made)
    assert first.status_code == 200, first.text
    raw = first.json()["key"]
    assert (first.json()["id"], first.json()["name"]) == (made["id"], "bob")
    assert (await running.gate.get(STATUS, headers=bearer(raw))).json()["user_id"] == "bob"
    second = await redeem(running, made)
    assert (second.status_code, "used already" in second.text, raw in second.text) == (409, True, False)
    assert (await running.operator.get(f"{LINKS}/{made['hand_over']['id']}")).json()["state"] == "redeemed"
    assert (await running.operator.get(f"{KEYS}/{made['id']}")).json()["is_handed_over"] is True
    assert files_with(running.home, raw) == []


async def test_of_many_who_redeem_at_once_one_gets_the_key(running):
    made = await link(running)
    answers = await asyncio.gather(*(redeem(running, made) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7


async def test_a_link_expires_and_can_be_withdrawn_and_replaced(running):
    late = await link(running, alias="late")
    assert late["hand_over"]["expires_at"] > late["created_at"]
    running.clock.advance(72 * 3600)
    assert "expired" in (await redeem(running, late)).text
    short = await link(running, alias="short", hand_over={"expires_in": "1h"})
    address = f"{LINKS}/{short['hand_over']['id']}"
    assert (await running.operator.delete(address)).status_code == 204
    assert (await running.operator.delete(address)).status_code == 409
    assert "withdrawn" in (await redeem(running, short)).text
    again = (await running.operator.post(f"{KEYS}/{short['id']}/rotate", json={"hand_over": {}})).json()
    newest = (await running.operator.post(f"{KEYS}/{short['id']}/rotate", json={"hand_over": {}})).json()
    assert ((await redeem(running, again)).status_code, (await redeem(running, newest)).status_code) == (409, 200)


async def test_a_rotation_by_link_begins_its_grace_when_the_link_is_redeemed(running):
    made = (await running.operator.post(KEYS, json={"alias": "bob"})).json()
    rotated = await running.operator.post(f"{KEYS}/{made['id']}/rotate", json={"grace": "1h", "hand_over": {}})
    running.clock.advance(7200)
    assert (await running.gate.get(STATUS, headers=bearer(made["key"]))).status_code == 200
    new = (await redeem(running, rotated.json())).json()["key"]
    for raw in (made["key"], new):
        assert (await running.gate.get(STATUS, headers=bearer(raw))).status_code == 200
    running.clock.advance(3600)
    assert (await running.gate.get(STATUS, headers=bearer(made["key"]))).status_code == 401


async def test_a_bound_link_is_redeemed_by_its_user_alone(running):
    bob, charlie = await token_of(running, "bob"), await token_of(running, "charlie")
    made = await link(running, user_id="bob", hand_over={"must_sign_in": True})
    assert (await redeem(running, made)).status_code == 401
    assert (await redeem(running, made, charlie)).status_code == 403
    assert (await redeem(running, made, bob)).status_code == 200


async def test_a_token_is_handed_over_the_same_way(running):
    await running.operator.post("/admin/v1/users", json={"id": "bob"})
    made = (await running.operator.post(TOKENS, json={"user_id": "bob", "hand_over": {}})).json()
    assert "token" not in made
    raw = (await redeem(running, made)).json()["token"]
    assert (await running.gate.get("/admin/v1/me", headers=bearer(raw))).json()["user_id"] == "bob"
    assert (await redeem(running, made)).status_code == 409


async def test_a_lead_hands_a_key_to_a_member_without_seeing_it_and_nobody_else_sees_the_link(running):
    await running.operator.post("/admin/v1/teams", json={"id": "red"})
    alice, charlie = await token_of(running, "alice"), await token_of(running, "charlie")
    for name, role in (("alice", "lead"), ("bob", "member")):
        await running.operator.post("/admin/v1/teams/red/members", json={"user_id": name, "role": role})
    answer = await running.gate.post(
        KEYS, headers=alice, json={"user_id": "bob", "team_id": "red", "hand_over": {"expires_in": "1d"}}
    )
    made = answer.json()
    assert (answer.status_code, made["key"]) == (201, None)
    seen = (await running.gate.get(LINKS, headers=alice)).json()["hand_overs"]
    assert [(one["object_id"], one["state"]) for one in seen] == [(made["id"], "open")]
    own = (await running.gate.post(TOKENS, headers=charlie, json={"hand_over": {}})).json()["hand_over"]["id"]
    for number in range(2):  # newer than what Alice and Charlie see: their pages are not cut by it
        await running.operator.post(KEYS, json={"alias": f"other {number}", "hand_over": {}})
    for who, link in ((alice, made["hand_over"]["id"]), (charlie, own)):
        page = (await running.gate.get(f"{LINKS}?limit=1", headers=who)).json()
        assert ([one["id"] for one in page["hand_overs"]], page["next"]) == ([link], None)
    assert len((await running.operator.get(LINKS)).json()["hand_overs"]) == 4
    for method in ("GET", "DELETE"):
        foreign = await running.gate.request(method, f"{LINKS}/{made['hand_over']['id']}", headers=charlie)
        unknown = await running.gate.request(method, f"{LINKS}/{'0' * 26}", headers=charlie)
        assert (foreign.status_code, foreign.text) == (404, unknown.text)
    assert (await redeem(running, made)).status_code == 200


@pytest.mark.parametrize(
    ("hand_over", "param"),
    [
        ({"expires_in": "31d"}, "hand_over.expires_in"),
        ({"expires_in": "soon"}, "hand_over.expires_in"),
        ({"must_sign_in": True}, "hand_over.must_sign_in"),
        ({"colour": "red"}, "hand_over.colour"),
    ],
)
async def test_a_link_that_cannot_be_is_refused_by_name_and_makes_no_key(running, hand_over, param):
    answer = await running.operator.post(KEYS, json={"hand_over": hand_over})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert (await running.operator.get(KEYS)).json()["keys"] == []


async def test_a_key_that_no_call_process_confirms_leaves_the_link_open(running, monkeypatch):
    made = await link(running)

    async def never(_epoch: int) -> None:
        raise StoreUnavailable("Not every call process has confirmed the change.")

    with monkeypatch.context() as patch:
        patch.setattr(running.plane.distribution, "confirmed", never)
        assert (await redeem(running, made)).status_code == 503
    assert (await redeem(running, made)).status_code == 200


async def test_a_deleted_key_and_an_unknown_link_are_told_apart(running):
    made = await link(running)
    await running.operator.delete(f"{KEYS}/{made['id']}")
    assert (await redeem(running, made)).json()["error"]["message"] == "There is no such key."
    unknown = await running.gate.post(f"{LINKS}/redeem", json={"secret": "x" * 43})
    assert (unknown.status_code, "no such link" in unknown.text) == (404, True)


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


@pytest.mark.parametrize(
    ("language", "words", "used"),
    [("en", "A key is waiting for you", "used already"), ("ja", "キーを受け取る", "使用済み")],
)
async def test_the_page_shows_the_key_to_who_presses_and_to_no_preview(running, browser, language, words, used):
    made = await link(running)
    path, headers = made["hand_over"]["path"], {"accept-language": language}
    for _ in range(3):
        page = await browser.get(path, headers=headers)
        assert (page.status_code, words in page.text) == (200, True)
    policy = page.headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
    assert not re.search(r"<script(?![^>]*src=)|style=|onclick=", page.text)
    assert (await browser.post(path, headers=headers)).status_code == 403  # not from the page's own form
    shown = await browser.post(path, data={"csrf": csrf_of(page)}, headers=headers)
    (raw,) = re.findall(r"sk-[\w-]{43}", shown.text)
    assert "sekisho setup cline" in shown.text
    assert (await running.gate.get(STATUS, headers=bearer(raw))).status_code == 200
    again = await browser.get(path, headers=headers)
    assert (again.status_code, used in again.text, raw in again.text) == (410, True, False)
    twice = await browser.post(path, data={"csrf": csrf_of(page)}, headers=headers)
    assert (twice.status_code, used in twice.text, "sk-" in twice.text) == (410, True, False)


async def test_the_page_of_a_bound_link_asks_for_the_persons_token(running, browser):
    bob, charlie = await token_of(running, "bob"), await token_of(running, "charlie")
    made = await link(running, user_id="bob", hand_over={"must_sign_in": True})
    path = made["hand_over"]["path"]
    form = {"csrf": csrf_of(await browser.get(path))}
    assert 'name="token"' in (await browser.get(path)).text

    async def press(token: str) -> httpx.Response:
        answer: httpx.Response = await browser.post(path, data=form | {"token": token})
        return answer

    refused = [await press("skt-nonsense"), await press(""), await press(charlie["authorization"].split()[1])]
    assert [answer.status_code for answer in refused] == [403, 403, 403]
    assert "sk-" in (await press(bob["authorization"].split()[1])).text


async def test_an_unknown_link_is_a_page_that_is_not_there(browser):
    assert (await browser.get("/console/hand-over/nothing")).status_code == 404
