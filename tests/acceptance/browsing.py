"""A browser in memory for the console's pages: it keeps cookies, follows our own forms, and says where it came from."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from sekisho.app.console import create_console
from sekisho.app.control_plane import create_control_app
from tests.acceptance.control_plane import OverUnixSocket, Running, running_control_plane


class Browser:
    """Opens pages and sends their forms. `text`: the last page."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.text = ""

    async def open(self, path: str, **options: Any) -> httpx.Response:
        return self._keep(await self.client.get(path, **options))

    async def send(self, path: str, fields: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """Post a form of the page shown last, with its hidden fields."""
        hidden = dict(re.findall(r'<input type="hidden" name="(csrf|ticket|next|code)" value="([^"]*)"', self.text))
        hidden["csrf"] = re.findall(r'name="csrf" value="([0-9a-f]{64})"', self.text)[-1]
        return self._keep(await self.client.post(path, data=hidden | (fields or {}), **options))

    async def sign_in(self, login: str, password: str) -> httpx.Response:
        await self.open("/console/sign-in")
        return await self.send("/console/sign-in", {"login": login, "password": password})

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        if "text/html" in answer.headers.get("content-type", ""):
            self.text = answer.text
        return answer


@dataclass
class Shared:
    """One control plane with its console for all tests of a file: to make one takes longer than a test."""

    running: Running
    app: Any
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def new(self, address: str = "192.0.2.1") -> Browser:
        """The browser of somebody at the gate."""
        client = httpx.AsyncClient(
            transport=OverUnixSocket(self.app),
            base_url="http://localhost",
            headers={"x-sekisho-forwarded": address, "accept-language": "en", "user-agent": "Firefox"},
        )
        self.clients.append(client)
        return Browser(client)

    async def clear(self) -> None:
        """Forget browsers, users, teams and rules, and let every wait and session pass."""
        for client in self.clients:
            await client.aclose()
        self.clients.clear()
        operator = self.running.operator
        for kind in ("teams", "users"):
            for one in (await operator.get(f"/admin/v1/{kind}?limit=500")).json()[kind]:
                assert (await operator.delete(f"/admin/v1/{kind}/{quote(one['id'])}")).status_code == 204
        assert (await operator.put("/admin/v1/settings/sign-in", json={})).status_code == 200
        self.running.clock.advance(3 * 86_400)


@asynccontextmanager
async def shared_console(home: Path, **options: Any) -> AsyncIterator[Shared]:
    """A control plane with its console; everything asks the same application."""
    async with running_control_plane(home, **options) as running:
        app = create_control_app(
            running.plane, lambda services: create_console(services, is_simulated=False, command="sekisho")
        )
        shared = Shared(running, app)
        yield shared
        for client in shared.clients:
            await client.aclose()
