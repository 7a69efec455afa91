"""Signing in with a local account, as a browser does it: invitation, password, second factor, waits, sessions."""

import base64
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from sekisho.access.totp import code_at
from tests.acceptance.browsing import Browser, Shared, shared_console
from tests.acceptance.control_plane import Running, bearer, files_with

PASSWORD = "green tea in June"
ACCOUNTS, RULES = "/admin/v1/accounts", "/admin/v1/settings/sign-in"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    async with shared_console(tmp_path_factory.mktemp("sign-in") / "home") as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def running(shared: Shared) -> AsyncIterator[Running]:
    yield shared.running
    await shared.clear()


@pytest.fixture
def new(shared: Shared) -> Any:
    return shared.new


async def person(running: Running, name: str, role: str = "") -> None:
    await running.operator.post("/admin/v1/users", json={"id": name, "email": f"{name}@example.com"})
    if role:
        await running.operator.post("/admin/v1/role-grants", json={"user_id": name, "role": role})


async def invited(running: Running, browser: Browser, name: str, password: str = PASSWORD) -> None:
    """Let somebody enter by an invitation and set a password."""
    await person(running, name)
    link = (await running.operator.post(f"{ACCOUNTS}/{name}/invite")).json()["path"]
    await browser.open(link)
    entered = await browser.send("/console/enter")
    assert (entered.status_code, entered.headers["location"]) == (303, "/console/account")
    await browser.open("/console/account")
    done = await browser.send("/console/account/password", {"password": password, "again": password})
    assert done.headers["location"] == "/console/account?done=password"


async def enrolled(running: Running, browser: Browser) -> tuple[bytes, list[str]]:
    """Turn the second factor on: its secret and the recovery codes."""
    await browser.open("/console/account/second-factor")
    text = re.search(r"data-copy-text>([A-Z2-7]{32})<", browser.text)
    assert text
    secret = base64.b32decode(text[1])
    await browser.send("/console/account/second-factor", {"code": code_now(running, secret)})
    return secret, re.findall(r"\b[a-z2-9]{5}-[a-z2-9]{5}\b", browser.text)


def code_now(running: Running, secret: bytes) -> str:
    return code_at(secret, running.clock.now_us() // 30_000_000)


async def directory_token(running: Running) -> str:
    """An access token of a service account that may provision."""
    await running.operator.post("/admin/v1/users", json={"id": "directory", "kind": "service"})
    await running.operator.post("/admin/v1/role-grants", json={"user_id": "directory", "role": "directory"})
    return str((await running.operator.post("/admin/v1/tokens", json={"user_id": "directory"})).json()["token"])


async def actions(running: Running, *wanted: str) -> list[dict[str, Any]]:
    """What the log says of these, newest first, in the last day."""
    entries = (await running.operator.get("/admin/v1/audit?limit=100")).json()["entries"]
    newest = datetime.fromisoformat(entries[0]["at"])
    recent = [one for one in entries if newest - datetime.fromisoformat(one["at"]) < timedelta(days=1)]
    return [one for one in recent if one["action"] in wanted]


async def test_an_invited_person_sets_a_password_and_signs_in_with_it(running, new):
    await invited(running, new(), "alice")
    browser = new()
    assert (await browser.sign_in("ALICE@example.com", PASSWORD)).headers["location"] == "/console"
    assert (await browser.open("/console/account")).status_code == 200
    assert files_with(running.home, PASSWORD) == []
    account = (await running.operator.get(f"{ACCOUNTS}/alice")).json()
    assert (account["has_password"], sorted(one["method"] for one in account["sessions"])) == (
        True,
        ["link", "password"],
    )
    assert {one["address"] for one in account["sessions"]} == {"192.0.2.1"}
    entered = (await actions(running, "console.enter"))[0]
    assert (entered["actor"], entered["after"]["method"]) == ("user:alice", "password")


async def test_what_is_wrong_is_not_said(running, new):
    await invited(running, new(), "alice")
    answers = []
    for login, password in (("alice", "something else"), ("nobody", PASSWORD), ("", ""), ("alice", "")):
        browser = new("192.0.2.9")
        answer = await browser.sign_in(login, password)
        answers.append((answer.status_code, *re.findall(r'role="alert">([^<]*)', browser.text)))
        assert "sekisho_session" not in browser.client.cookies
    assert set(answers) == {(403, "The user id or the password is wrong.")}
    failed = await actions(running, "sign_in.fail")
    assert {one["id"] for one in failed} == {"alice", "nobody", ""} or {one["id"] for one in failed} == {
        "alice",
        "nobody",
    }
    assert all(one["after"]["address"] == "192.0.2.9" for one in failed)


async def test_guesses_wait_longer_and_longer_but_a_known_browser_gets_in(running, new):
    home, stranger = new("192.0.2.1"), new("198.51.100.7")
    await invited(running, home, "alice")
    await home.sign_in("alice", PASSWORD)  # from now on this browser is known
    statuses = [(await stranger.sign_in("alice", f"guess number {n}")).status_code for n in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    assert (await stranger.sign_in("alice", PASSWORD)).status_code == 429  # the right one must wait too
    assert (await home.sign_in("alice", PASSWORD)).status_code == 303
    assert (await new("203.0.113.5").sign_in("bob", "anything at all")).status_code == 403  # others are not touched
    running.clock.advance(1)
    assert (await stranger.sign_in("alice", PASSWORD)).status_code == 303
    waits = [
        one["after"]["next_attempt_in_s"] for one in await actions(running, "sign_in.fail") if one["id"] == "alice"
    ]
    assert waits == [1, 0, 0, 0, 0]


async def test_a_whole_office_signs_in_from_one_address_and_guesses_from_there_still_wait(running, new):
    for number in range(25):
        name = f"person{number}"
        await invited(running, new("198.51.100.1"), name)
        assert (await new("198.51.100.9").sign_in(name, PASSWORD)).status_code == 303, number
    guesses = [(await new("198.51.100.9").sign_in(f"nobody{number}", PASSWORD)).status_code for number in range(21)]
    assert guesses == [403] * 20 + [429]
    assert (await new("198.51.100.9").sign_in("person1", PASSWORD)).status_code == 429
    running.clock.advance(60 * 60)
    assert (await new("198.51.100.9").sign_in("person1", PASSWORD)).status_code == 303


async def test_the_second_factor_is_asked_for_and_each_code_is_good_once(running, new):
    browser = new()
    await invited(running, browser, "alice")
    secret, codes = await enrolled(running, browser)
    assert len(codes) == 10
    assert files_with(running.home, codes[0]) == []
    running.clock.advance(60)

    async def second(code: str) -> int:
        other = new()
        assert "Second factor" in (await other.sign_in("alice", PASSWORD)).text
        assert "sekisho_session" not in other.client.cookies
        return int((await other.send("/console/sign-in/second", {"code": code})).status_code)

    code = code_now(running, secret)
    assert [await second(code), await second(code), await second(codes[3].upper()), await second(codes[3])] == [
        303,
        403,
        303,
        403,
    ]
    assert [one["actor"] for one in await actions(running, "totp.enrol", "recovery.use")] == ["user:alice"] * 2


async def test_a_ticket_of_the_second_page_is_no_good_after_the_password_changed(running, new):
    browser = new()
    await invited(running, browser, "alice")
    secret, _ = await enrolled(running, browser)
    other = new()
    await other.sign_in("alice", PASSWORD)
    running.clock.advance(60)
    await browser.open("/console/account")
    fields = {"present": PASSWORD, "password": PASSWORD + "!", "again": PASSWORD + "!"}
    assert (await browser.send("/console/account/password", fields)).status_code == 303
    answer = await other.send("/console/sign-in/second", {"code": code_now(running, secret)})
    assert answer.status_code == 403


async def test_where_a_second_factor_is_required_nothing_else_opens_before_it(running, new):
    browser = new()
    await invited(running, browser, "alice")
    assert (await running.operator.put(RULES, json={"requires_totp": True})).status_code == 200
    for path in ("/console", "/console/nothing"):
        assert (await browser.open(path)).headers["location"] == "/console/account/second-factor"
    secret, _ = await enrolled(running, browser)
    assert (await browser.open("/console/account")).status_code == 200
    answer = await browser.send("/console/account/second-factor/remove", {"present": PASSWORD})
    assert answer.status_code == 400
    assert secret


async def test_a_password_is_changed_only_with_the_present_one_and_ends_other_sessions(running, new):
    browser, other = new(), new()
    await invited(running, new(), "alice")
    for one in (browser, other):
        await one.sign_in("alice", PASSWORD)
        await one.open("/console/account")
    for fields, problem in (
        ({"present": "wrong one here", "password": "a new long one", "again": "a new long one"}, "present password"),
        ({"present": PASSWORD, "password": "short", "again": "short"}, "12 to 200"),
        ({"present": PASSWORD, "password": "a new long one", "again": "another one"}, "differ"),
    ):
        assert (await browser.send("/console/account/password", fields)).status_code == 400
        assert problem in browser.text
    fields = {"present": PASSWORD, "password": "a new long one", "again": "a new long one"}
    assert (await browser.send("/console/account/password", fields)).status_code == 303
    assert (await other.open("/console/account")).headers["location"] == "/console/sign-in"
    assert (await new().sign_in("alice", PASSWORD)).status_code == 403


async def test_guesses_of_the_present_password_must_wait_and_are_told_so(running, new):
    await invited(running, new(), "alice")
    browser = new()
    await browser.sign_in("alice", PASSWORD)
    await browser.open("/console/account")
    guess = {"present": "wrong one here", "password": "a new long one", "again": "a new long one"}
    statuses = [(await browser.send("/console/account/password", guess)).status_code for _ in range(12)]
    assert statuses == sorted(statuses)
    assert set(statuses) == {400, 429}
    assert "Too many attempts" in browser.text
    right = guess | {"present": PASSWORD}
    assert (await browser.send("/console/account/password", right)).status_code == 429
    running.clock.advance(3600)
    await browser.open("/console/account")
    assert (await browser.send("/console/account/password", right)).status_code == 303


async def test_sessions_age_idle_and_are_ended_by_person_and_administrator(running, new):
    first, second = new(), new()
    await invited(running, new(), "alice")
    for one in (first, second):
        await one.sign_in("alice", PASSWORD)
    await first.open("/console/account")
    ids = re.findall(r'/account/sessions">.*?name="id" value="([0-9a-z]{26})"', first.text)
    assert len(ids) == 2  # the other browser's, and that of the invitation
    for one in ids:
        await first.send("/console/account/sessions", {"id": one})
    assert (await second.open("/console/account")).headers["location"] == "/console/sign-in"
    running.clock.advance(1800)
    assert (await first.open("/console/account")).status_code == 200
    running.clock.advance(1800)
    assert (await first.open("/console/account")).status_code == 200  # it was used in between
    running.clock.advance(3601)
    assert (await first.open("/console/account")).status_code == 303
    await first.sign_in("alice", PASSWORD)
    assert (await running.operator.delete(f"{ACCOUNTS}/alice/sessions")).status_code == 204
    assert (await first.open("/console/account")).status_code == 303


async def test_each_sign_in_makes_a_new_cookie_and_ends_the_old_session(running, new):
    browser = new()
    await invited(running, browser, "alice")
    planted = browser.client.cookies["sekisho_session"]
    await browser.sign_in("alice", PASSWORD)
    assert browser.client.cookies["sekisho_session"] != planted
    thief = new()
    thief.client.cookies.set("sekisho_session", planted, path="/console")
    assert (await thief.open("/console/account")).status_code == 303


async def test_a_link_ends_the_session_that_the_browser_had(running, new):
    browser = new()
    await invited(running, browser, "alice")
    planted = browser.client.cookies["sekisho_session"]
    await invited(running, browser, "bob")
    thief = new()
    thief.client.cookies.set("sekisho_session", planted, path="/console")
    assert (await thief.open("/console/account")).status_code == 303


async def test_of_a_persons_links_the_newest_is_good_until_a_password_is_set(running, new):
    async def link() -> str:
        return str((await running.operator.post(f"{ACCOUNTS}/alice/invite")).json()["path"])

    async def opens(path: str) -> int:
        browser = new()
        await browser.open(path)
        return int((await browser.send("/console/enter")).status_code)

    await person(running, "alice")
    first, second = await link(), await link()
    assert (await opens(first), await opens(second)) == (403, 303)
    browser = new()
    await invited(running, browser, "alice")
    forgotten = await link()
    await browser.open("/console/account")
    fields = {"present": PASSWORD, "password": "quite another one", "again": "quite another one"}
    assert (await browser.send("/console/account/password", fields)).status_code == 303
    assert await opens(forgotten) == 403
    ended = await link()
    await running.operator.delete(f"{ACCOUNTS}/alice/sessions")
    assert await opens(ended) == 403


async def test_a_reset_takes_everything_and_a_new_link_sets_a_new_password(running, new):
    browser = new()
    await invited(running, browser, "alice")
    await enrolled(running, browser)
    link = (await running.operator.post(f"{ACCOUNTS}/alice/reset")).json()["path"]
    assert (await browser.open("/console/account")).status_code == 303
    assert (await new().sign_in("alice", PASSWORD)).status_code == 403
    again = new()
    await again.open(link)
    await again.send("/console/enter")
    await again.open("/console/account")
    fields = {"password": "quite another one", "again": "quite another one"}
    assert (await again.send("/console/account/password", fields)).status_code == 303
    assert (await new().sign_in("alice", "quite another one")).status_code == 303


async def test_a_link_stands_in_the_place_of_the_password_only(running, new):
    owner = new()
    await invited(running, owner, "alice")
    secret, recovery = await enrolled(running, owner)
    running.clock.advance(60)
    link = (await running.operator.post(f"{ACCOUNTS}/alice/invite")).json()["path"]
    browser = new()
    await browser.open(link)
    asked = await browser.send("/console/enter")
    assert (asked.status_code, "six digits" in asked.text, "alert" in asked.text) == (200, True, False)
    assert "sekisho_session" not in browser.client.cookies
    wrong = await browser.send("/console/enter", {"second": "000000"})
    assert (wrong.status_code, "This code is wrong" in wrong.text) == (403, True)
    assert "sekisho_session" not in browser.client.cookies
    failed = await actions(running, "sign_in.fail")
    assert [(one["id"], one["after"]["what"]) for one in failed] == [("alice", "second factor")]
    entered = await browser.send("/console/enter", {"second": code_now(running, secret)})
    assert (entered.status_code, entered.headers["location"]) == (303, "/console")
    await browser.open("/console/account")  # as after every link a new password needs no old one
    fields = {"password": "quite another one", "again": "quite another one"}
    assert (await browser.send("/console/account/password", fields)).status_code == 303
    used = new()
    await used.open(link)
    assert "sekisho_session" not in used.client.cookies
    assert (await used.send("/console/enter", {"second": recovery[0]})).status_code == 403


async def test_a_recovery_code_goes_with_a_link_too(running, new):
    owner = new()
    await invited(running, owner, "alice")
    _, recovery = await enrolled(running, owner)
    browser = new()
    await browser.open((await running.operator.post(f"{ACCOUNTS}/alice/invite")).json()["path"])
    await browser.send("/console/enter")
    assert (await browser.send("/console/enter", {"second": recovery[0]})).status_code == 303


async def test_guesses_of_the_second_factor_beside_a_link_wait_as_at_a_sign_in(running, new):
    owner = new()
    await invited(running, owner, "alice")
    secret, _ = await enrolled(running, owner)
    running.clock.advance(60)
    browser = new("198.51.100.7")
    await browser.open((await running.operator.post(f"{ACCOUNTS}/alice/invite")).json()["path"])
    await browser.send("/console/enter")
    guesses = [(await browser.send("/console/enter", {"second": f"00000{n}"})).status_code for n in range(6)]
    assert guesses == [403] * 5 + [429]
    assert "Too many attempts. Wait 1 seconds" in browser.text
    stranger = new("203.0.113.9")
    assert (await stranger.sign_in("alice", PASSWORD)).status_code == 429  # one counter for both ways
    right = {"second": code_now(running, secret)}
    assert (await browser.send("/console/enter", right)).status_code == 429
    running.clock.advance(2)
    assert (await browser.send("/console/enter", {"second": code_now(running, secret)})).status_code == 303


async def test_passwords_can_be_turned_off(running, new):
    await invited(running, new(), "alice")
    halfway = new()
    await invited(running, halfway, "bob")
    secret, _ = await enrolled(running, halfway)
    running.clock.advance(60)
    await halfway.sign_in("bob", PASSWORD)
    await running.operator.put(RULES, json={"allows_passwords": False})
    browser = new()
    await browser.open("/console/sign-in")
    assert 'name="password"' not in browser.text
    token = re.findall(r'name="csrf" value="([0-9a-f]{64})"', browser.text)[-1]
    fields = {"csrf": token, "login": "alice", "password": PASSWORD}
    assert (await browser.client.post("/console/sign-in", data=fields)).status_code == 403
    answer = await halfway.send("/console/sign-in/second", {"code": code_now(running, secret)})
    assert answer.status_code == 403  # also for whoever had given the password before


async def test_forms_come_from_our_own_pages_only(running, new):
    await invited(running, new(), "alice")
    browser = new()
    await browser.open("/console/sign-in")
    fields = {"login": "alice", "password": PASSWORD}
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "https://[::1"},
    ):
        assert (await browser.send("/console/sign-in", fields, headers=headers)).status_code == 403
        await browser.open("/console/sign-in")
    headers = {"origin": "http://localhost"}
    assert (await browser.send("/console/sign-in", fields, headers=headers)).status_code == 303


async def test_nobody_reads_or_resets_the_account_of_another(running):
    await person(running, "alice")
    await person(running, "bob")
    made = (await running.operator.post("/admin/v1/tokens", json={"user_id": "bob"})).json()
    bob = bearer(made["token"])
    assert (await running.gate.get(f"{ACCOUNTS}/bob", headers=bob)).status_code == 200
    assert (await running.gate.get(f"{ACCOUNTS}/alice", headers=bob)).status_code == 404
    assert (await running.gate.delete(f"{ACCOUNTS}/alice/sessions", headers=bob)).status_code == 404
    assert (await running.gate.post(f"{ACCOUNTS}/alice/reset", headers=bob)).status_code == 403
    assert (await running.operator.post(f"{ACCOUNTS}/nobody/invite")).status_code == 404


async def test_an_access_token_is_made_once_on_the_account_page_and_revoked_there(running, new):
    browser = new()
    await invited(running, browser, "alice")
    await browser.open("/console/account")
    await browser.send("/console/account/tokens", {"name": "laptop", "life": "30d"})
    (token,) = re.findall(r"data-copy-text>(skt-[\w-]+)<", browser.text)
    assert (await running.gate.get("/admin/v1/me", headers=bearer(token))).json()["user_id"] == "alice"
    await browser.open("/console/account")
    assert token not in browser.text
    made = (await running.operator.get("/admin/v1/tokens?user_id=alice")).json()["tokens"][0]
    await browser.send("/console/account/tokens/end", {"id": made["id"]})
    assert (await running.gate.get("/admin/v1/me", headers=bearer(token))).status_code == 401
    await person(running, "bob")
    other = (await running.operator.post("/admin/v1/tokens", json={"user_id": "bob"})).json()
    await browser.open("/console/account")
    assert (await browser.send("/console/account/tokens/end", {"id": other["id"]})).status_code == 404


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/console/sign-in", b"application/x-www-form-urlencoded"),
        ("/admin/v1/device/code", b"application/x-www-form-urlencoded"),
        ("/scim/v2/Users", b"application/scim+json"),
        ("/admin/v1/keys", b"application/json"),
    ],
)
async def test_a_client_that_goes_away_in_the_middle_of_a_form_is_no_error(shared, caplog, path, kind):
    parts = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    token = await directory_token(shared.running)
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path}
    scope |= {"scheme": "http", "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": None}
    known = [(b"authorization", f"Bearer {token}".encode())] if path.startswith("/scim") else []
    scope |= {"server": ("/control.sock", None), "headers": [(b"content-type", kind), *known]}  # else the operator
    keys = (await shared.running.operator.get("/admin/v1/keys")).json()
    await shared.app(scope, receive, send)
    assert [message["status"] for message in sent if "status" in message] in ([], [499])
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert (await shared.running.operator.get("/admin/v1/keys")).json() == keys
