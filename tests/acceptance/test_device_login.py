"""A command line signs in by a code that its person approves in the console (RFC 8628)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.browsing import Browser, Shared, shared_console
from tests.acceptance.control_plane import Running, bearer

pytestmark = pytest.mark.asyncio(loop_scope="module")
CODE, TOKEN = "/admin/v1/device/code", "/admin/v1/device/token"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shared]:
    async with shared_console(tmp_path_factory.mktemp("device") / "home") as shared:
        yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def running(shared: Shared) -> AsyncIterator[Running]:
    yield shared.running
    await shared.clear()


async def begin(running: Running, **headers: str) -> Any:
    answer = await running.gate.post(CODE, data={"client_name": "alice@laptop<b>"}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def collect(running: Running, begun: Any) -> tuple[int, Any]:
    answer = await running.gate.post(TOKEN, data={"grant_type": GRANT, "device_code": begun["device_code"]})
    return answer.status_code, answer.json()


async def alice(shared: Shared) -> Browser:
    """Alice's browser, signed in by an invitation."""
    operator = shared.running.operator
    await operator.post("/admin/v1/users", json={"id": "alice"})
    browser = shared.new()
    await browser.open((await operator.post("/admin/v1/accounts/alice/invite")).json()["path"])
    await browser.send("/console/enter")
    return browser


async def decide(browser: Browser, begun: Any, answer: str) -> str:
    await browser.open(f"/console/device?code={begun['user_code']}")
    await browser.send("/console/device", {"answer": answer})
    return browser.text


async def test_the_code_is_approved_and_the_token_is_given_once(running, shared):
    begun = await begin(running)
    assert begun["verification_uri_complete"] == f"/console/device?code={begun['user_code']}"
    assert await collect(running, begun) == (400, {"error": "authorization_pending"})
    assert await collect(running, begun) == (400, {"error": "slow_down"})
    running.clock.advance(5)
    assert await collect(running, begun) == (400, {"error": "authorization_pending"})
    browser = await alice(shared)
    await browser.open(f"/console/device?code={begun['user_code'].lower()}")
    assert "alice@laptop&lt;b&gt;" in browser.text
    assert "127.0.0.1" in browser.text
    assert "Go back to your terminal" in await decide(browser, begun, "approve")
    status, said = await collect(running, begun)
    assert (status, said["token_type"], said["expires_in"]) == (200, "Bearer", 90 * 86_400)
    me = (await running.gate.get("/admin/v1/me", headers=bearer(said["access_token"]))).json()
    assert me["user_id"] == "alice"
    assert await collect(running, begun) == (400, {"error": "expired_token"})
    entries = (await running.operator.get("/admin/v1/audit?limit=5")).json()["entries"]
    assert ("device.approve", "user:alice") in {(one["action"], one["actor"]) for one in entries}
    assert said["access_token"] not in str(entries)


async def test_what_is_refused_unknown_or_too_old_gives_nothing(running, shared):
    browser = await alice(shared)
    refused = await begin(running)
    assert "Refused" in await decide(browser, refused, "deny")
    assert await collect(running, refused) == (400, {"error": "access_denied"})
    await browser.open(f"/console/device?code={refused['user_code']}")
    assert "no such code" in browser.text
    late = await begin(running)
    running.clock.advance(601)
    assert "no such code" in (await browser.open(f"/console/device?code={late['user_code']}")).text
    assert await collect(running, late) == (400, {"error": "expired_token"})
    assert await collect(running, {"device_code": "guess"}) == (400, {"error": "expired_token"})
    wrong = await running.gate.post(TOKEN, data={"grant_type": "password", "device_code": late["device_code"]})
    assert wrong.json() == {"error": "unsupported_grant_type"}


async def test_nobody_approves_without_a_session_of_their_own(running, shared):
    begun = await begin(running)
    stranger = shared.new()
    led = await stranger.open(f"/console/device?code={begun['user_code']}")
    assert led.headers["location"].startswith("/console/sign-in?next=%2Fconsole%2Fdevice%3Fcode%3D")
    browser = await alice(shared)
    await browser.open(f"/console/device?code={begun['user_code']}")
    forged = await browser.client.post("/console/device", data={"code": begun["user_code"], "answer": "approve"})
    assert forged.status_code == 403
    operator = shared.new()
    code = await shared.running.plane.services().sessions.issue_code("operator")
    await operator.open(f"/console/enter?code={code}")
    await operator.send("/console/enter")
    await operator.open(f"/console/device?code={begun['user_code']}")
    assert "account of your own" in operator.text
    assert await collect(running, begun) == (400, {"error": "authorization_pending"})


async def test_guesses_of_codes_wait_longer_and_longer_and_a_good_code_of_ones_own_does_not_help(running, shared):
    browser, begun = await alice(shared), await begin(running)

    async def try_code(code: str) -> int:
        return int((await browser.open(f"/console/device?code={code}")).status_code)

    assert [await try_code(f"BBBB-BBB{one}") for one in "BCDF"] == [400] * 4
    assert [await try_code(begun["user_code"]) for _ in range(3)] == [200] * 3
    assert await try_code("BBBB-BBBG") == 400
    assert await try_code(begun["user_code"]) == 429
    assert "Too many codes that do not exist. Wait 1 seconds" in browser.text
    guess = {"code": begun["user_code"], "answer": "approve"}
    assert (await browser.send("/console/device", guess)).status_code == 429  # the form is no way around
    assert await collect(running, begun) == (400, {"error": "authorization_pending"})
    for wait_s in (1, 2, 4, 8, 16, 32, 64, 128):
        running.clock.advance(wait_s)
        assert (await browser.send("/console/device", {"code": "BBBB-BBBH", "answer": "approve"})).status_code == 400
    assert await try_code(begun["user_code"]) == 429
    assert "Wait 256 seconds" in browser.text
    running.clock.advance(256)
    assert "Go back to your terminal" in await decide(browser, begun, "approve")


async def test_one_persons_guesses_hold_up_nobody_else_and_not_their_own_sign_in(running, shared):
    browser, begun = await alice(shared), await begin(running)
    for _ in range(6):
        await browser.open("/console/device?code=BBBB-BBBB")
    assert "Too many codes" in browser.text
    await running.operator.post("/admin/v1/users", json={"id": "bob"})
    bob = shared.new()
    await bob.open((await running.operator.post("/admin/v1/accounts/bob/invite")).json()["path"])
    await bob.send("/console/enter")
    assert "Go back to your terminal" in await decide(bob, begun, "approve")
    assert (await browser.sign_in("alice", "guess")).status_code == 403


async def test_a_leaver_collects_nothing(running, shared):
    browser, begun = await alice(shared), await begin(running)
    await decide(browser, begun, "approve")
    await running.plane.services().sign_in.directory.leave("alice", "operator")
    assert await collect(running, begun) == (400, {"error": "expired_token"})


async def test_one_address_begins_only_so_many(running):
    for _ in range(20):
        await begin(running, **{"x-sekisho-forwarded": "198.51.100.7"})
    more = await running.gate.post(CODE, headers={"x-sekisho-forwarded": "198.51.100.7"})
    assert (more.status_code, more.json()["error"]) == (429, "slow_down")
    await begin(running, **{"x-sekisho-forwarded": "198.51.100.8"})


async def test_over_ipv6_a_network_counts_as_one_address(running):
    for number in range(20):
        await begin(running, **{"x-sekisho-forwarded": f"2001:db8:7::{number:x}"})
    more = await running.gate.post(CODE, headers={"x-sekisho-forwarded": "2001:db8:7:0:ffff::1"})
    assert (more.status_code, more.json()["error"]) == (429, "slow_down")
    await begin(running, **{"x-sekisho-forwarded": "2001:db8:7:1::1"})
