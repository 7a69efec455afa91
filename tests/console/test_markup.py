"""What a screen reader builds on: one title, headings in their order, tables with a name, every column with one."""

from collections.abc import AsyncIterator
from html.parser import HTMLParser

import pytest
import pytest_asyncio

from sekisho.access.roles import RoleName
from sekisho.web.console.nav import NAV, places_of
from tests.console.house import House, furnished_house
from tests.console.visitors import visitor

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.asyncio(loop_scope="module")]
PEOPLE: dict[RoleName, str] = {"platform_admin": "", "cost_manager": "mallory", "auditor": "erin", "team_lead": "alice",
                               "developer": "bob"}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[False, True], ids=["furnished", "empty"])
async def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with furnished_house(tmp_path_factory.mktemp("house"), is_empty=request.param, per_day=1) as furnished:
        yield furnished


class Outline(HTMLParser):
    """Headings inside `main`, and what is wrong with the tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.faults: list[str] = []
        self._is_main = False
        self._named = self._said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        if tag == "main":
            self._is_main = True
        if self._is_main and tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self._named = about.get("aria-label") or ""
        if tag == "caption":
            self._named = "caption"
        if tag in ("tr", "tbody") and not self._named:
            self.faults.append("a table without a name")
            self._named = "told"
        if tag == "th":
            self._said = ""
            if about.get("scope") not in ("col", "row"):
                self.faults.append("a heading cell without scope")

    def handle_data(self, data: str) -> None:
        self._said += data.strip()

    def handle_endtag(self, tag: str) -> None:
        if tag == "th" and not self._said:
            self.faults.append("a heading cell without words")
        if tag == "main":
            self._is_main = False


@pytest.mark.parametrize("role", list(NAV))
async def test_every_place_can_be_walked_by_ear(house: House, role: RoleName) -> None:
    one = await visitor(house, PEOPLE[role], role)
    paths = [place.path for place in places_of(role)] + (["account"] if PEOPLE[role] else [])
    if house.calls:
        paths += [f"why/{house.calls[f'of cline-{PEOPLE[role]}']}"] if role == "developer" else []
        paths += [f"why/{house.calls['refused']}"] if role == "platform_admin" else []
    for path in paths:
        page = Outline(await one.html(path))
        assert page.faults == [], path
        assert page.headings[0] == 1, path
        assert page.headings.count(1) == 1, path
        steps = zip(page.headings, page.headings[1:], strict=False)
        assert all(after <= before + 1 for before, after in steps), (path, page.headings)
