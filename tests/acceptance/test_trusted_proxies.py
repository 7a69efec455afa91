"""Behind a load balancer each visitor is somebody of their own, from the public port to the control plane."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
import uvicorn

from sekisho.calls.gate import Limits
from sekisho.ledger.journal import Unrecognised
from sekisho.web.doors.proxies import Proxies
from tests.acceptance.browsing import Browser, Shared, shared_console
from tests.acceptance.conftest import CallPlane, call_plane

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALICE, MALLORY, FORGED = "203.0.113.7", "198.51.100.66", "192.0.2.99"
PASSWORD = "green tea in June"


class LoadBalancer(httpx.AsyncHTTPTransport):
    """Ends TLS in front of a port, for the visitors' part: they ask for https, and plain http comes out."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http")
        return await super().handle_async_request(request)


@dataclass
class Site:
    """A public port that trusts this machine as a load balancer, and the control plane behind it."""

    plane: CallPlane
    shared: Shared

    def behind(self, address: str, **headers: str) -> Browser:
        """A visitor whom the load balancer sees at this address, coming by https."""
        said = {"x-forwarded-for": address, "x-forwarded-proto": "https", "accept-language": "en"}
        base_url = f"https://127.0.0.1:{self.plane.port}"
        client = httpx.AsyncClient(transport=LoadBalancer(), base_url=base_url, headers=said | headers)
        self.shared.clients.append(client)
        return Browser(client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    tmp_path = tmp_path_factory.mktemp("proxies")
    async with shared_console(tmp_path / "home") as shared:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "nobody.sock"))
        control = uvicorn.Server(uvicorn.Config(shared.app, log_config=None, lifespan="off", proxy_headers=False))
        serving = asyncio.create_task(control.serve([listener]))
        async with call_plane((), Limits(), tmp_path, proxies=Proxies(("127.0.0.1/32",))) as plane:
            yield Site(plane, shared)
            for client in shared.clients:
                await client.aclose()
        control.should_exit = True
        await serving


async def failures(site: Site) -> list[str]:
    entries = (await site.shared.running.operator.get("/admin/v1/audit?limit=50")).json()["entries"]
    return [one["after"]["address"] for one in entries if one["action"] == "sign_in.fail"]


async def test_one_visitor_is_held_up_and_the_others_are_not(site: Site) -> None:
    mallory = site.behind(f"{FORGED}, {MALLORY}")
    outcomes = [(await mallory.sign_in(f"nobody-{number}", PASSWORD)).status_code for number in range(21)]
    assert outcomes == [403] * 20 + [429]
    again = site.behind(f"10.1.2.3, {MALLORY}", forwarded=f"for={ALICE}")  # names two visitors: believed is neither
    assert (await again.sign_in("nobody", PASSWORD)).status_code == 403
    assert (await site.behind(ALICE).sign_in("nobody", PASSWORD)).status_code == 403
    assert await failures(site) == [ALICE, "127.0.0.1", *[MALLORY] * 20]


async def test_cookies_are_for_https_only_where_the_proxy_says_that_it_was_https(site: Site) -> None:
    operator = site.shared.running.operator
    await operator.post("/admin/v1/users", json={"id": "alice"})
    link = (await operator.post("/admin/v1/accounts/alice/invite")).json()["path"]
    alice = site.behind(ALICE)
    asked = await alice.open(link)
    entered = await alice.send("/console/enter")
    cookies = [*asked.headers.get_list("set-cookie"), *entered.headers.get_list("set-cookie")]
    assert len(cookies) == 3
    assert all(one.endswith("; Secure") for one in cookies)
    assert "max-age" in entered.headers["strict-transport-security"]
    plain = await site.behind(ALICE, **{"x-forwarded-proto": "https, http"}).open("/console/sign-in")
    assert "Secure" not in plain.headers["set-cookie"]
    assert "strict-transport-security" not in plain.headers
    sessions = (await operator.get("/admin/v1/accounts/alice")).json()["sessions"]
    assert [one["address"] for one in sessions] == [ALICE]


async def test_our_own_headers_are_nobody_elses(site: Site) -> None:
    forged = {"x-sekisho-forwarded": FORGED, "x-sekisho-scheme": "http", "x-sekisho-host": "evil.example.com"}
    eve = site.behind(ALICE, **forged)
    asked = await eve.open("/console/sign-in")
    assert asked.headers["set-cookie"].endswith("; Secure")
    ours = f"https://127.0.0.1:{site.plane.port}"
    await eve.send("/console/sign-in", {"login": "eve", "password": PASSWORD}, headers={"origin": ours})
    before = await failures(site)
    assert before[0] == ALICE
    answer = await eve.send("/console/sign-in", {"login": "eve"}, headers={"origin": "https://evil.example.com"})
    assert (answer.status_code, await failures(site)) == (403, before)
    redirected = await eve.client.get("/admin/v1/keys/", headers={"host": "evil.example.com"})
    assert (redirected.status_code, redirected.headers.get("location")) == (404, None)


async def test_sign_ins_of_command_lines_and_unknown_keys_are_counted_by_visitor(site: Site) -> None:
    codes = [(await site.behind(MALLORY).client.post("/admin/v1/device/code")).status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]
    assert (await site.behind(ALICE).client.post("/admin/v1/device/code")).status_code == 200
    unknown = {"authorization": "Bearer sk-unknown"}
    for address, path in ((ALICE, "/v1/models"), (MALLORY, "/admin/v1/keys"), (ALICE, "/scim/v2/Users")):
        assert (await site.behind(address).client.get(path, headers=unknown)).status_code == 401
    assert (await site.behind(MALLORY).client.post("/v1/messages", json={}, headers=unknown)).status_code == 401
    site.plane.app.close()
    seen = {one.address: one.calls for one in site.plane.journal.records if isinstance(one, Unrecognised)}
    assert seen == {ALICE: 2, MALLORY: 2}
