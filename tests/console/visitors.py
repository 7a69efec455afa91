"""Visitors of a furnished house over HTTP: each with a session, a role and a language."""

import csv
import io
import re
from decimal import Decimal
from html import unescape

import httpx

from tests.console.house import House


class Visitor:
    """One person's browser without a browser."""

    def __init__(self, house: House, token: str, role: str, language: str) -> None:
        cookies = {"sekisho_session": token, "sekisho_language": language}
        transport = httpx.ASGITransport(house.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost", cookies=cookies)
        if role:
            self.client.cookies.set("sekisho_role", role)

    async def page(self, path: str, status: int = 200) -> str:
        """The page's text as a reader sees it: without tags, entities resolved."""
        answer = await self.client.get(f"/console/{path}")
        assert answer.status_code == status, (path, answer.status_code, answer.text[-400:])
        return unescape(re.sub(r"<[^>]+>", " ", answer.text))

    async def html(self, path: str) -> str:
        answer = await self.client.get(f"/console/{path}")
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    async def rows(self, path: str) -> list[dict[str, str]]:
        """The export of a page."""
        answer = await self.client.get(f"/console/{path}")
        assert answer.headers["content-type"].startswith("text/csv"), path
        return list(csv.DictReader(io.StringIO(answer.text)))

    async def status(self, path: str) -> int:
        return (await self.client.get(f"/console/{path}")).status_code

    async def send(self, page: str, path: str, **fields: str) -> httpx.Response:
        """Fill in a form of a page and send it as htmx does."""
        text = (await self.client.get(f"/console/{page}")).text
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', text)
        assert found
        return await self.client.post(
            f"/console/{path}",
            data={"csrf": found[1], "next": f"/console/{page}", **fields},
            headers={"hx-request": "true"},
        )


async def visitor(house: House, user_id: str = "", role: str = "", language: str = "en") -> Visitor:
    """Somebody who is signed in; without an id the operator."""
    return Visitor(house, await house.enter(user_id), role, language)


def dollars(text: str) -> Decimal:
    """The first amount of money in a text."""
    found = re.search(r"\$([\d,]+\.?\d*)", text)
    assert found, text[:200]
    return Decimal(found[1].replace(",", ""))


def to_the_cent(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), "ROUND_HALF_UP")
