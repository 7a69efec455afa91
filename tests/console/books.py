"""A control plane whose every call is known, and the plain sums of those calls: what the pages and the API must say.

Nothing of the product adds anything up here: calls are counted by the calendar of the standard library.
"""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from sekisho.access.register import KeyDraft
from sekisho.access.roles import Grant
from sekisho.app.console import create_console
from sekisho.app.control_plane import ControlPlaneSettings, create_control_app, open_control_plane
from sekisho.clock import FakeClock
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.journal import Caller, Opened, Record, Refused, Settled, TaskNote
from sekisho.ledger.journal_files import JournalWriter
from sekisho.values import Usage
from tests.console.house import BOSS, House
from tests.console.visitors import Visitor, visitor

MODELS = ("claude-sonnet-4-6", "claude-haiku-4-5", "nova-pro", "claude-opus-4-6", "nova-lite", "nova-micro", "gone-1")
AGENTS = ("cline", "claude-code", "codex", "kilo", "")
TAGS = ("pay", "a b", "&x=1", "印")
REPOSITORIES = ("payments", "shop & co", "")
ENDS = ("ok",) * 7 + ("failed", "refused", "interrupted", "running")
DAY_US = 86_400_000_000
# (user, team, since which part of the months known, until which): Dora is in two teams, Erin moved, Finn's team is gone
PEOPLE = (
    ("alice", "red", 0.0, 1.0),
    ("bob", "red", 0.3, 1.0),
    ("dora", "red", 0.0, 1.0),
    ("dora", "blue", 0.0, 1.0),
    ("erin", "red", 0.0, 0.93),
    ("erin", "blue", 0.93, 1.0),
    ("charlie", "blue", 0.0, 1.0),
    ("finn", "green", 0.0, 0.97),
    ("", "blue", 0.0, 1.0),
    ("", "", 0.0, 1.0),
)


@dataclass(frozen=True)
class Fact:
    """One call as it was made. `cost` is nano-USD, `at` and `ended` are microseconds since the epoch."""

    id: bytes
    at: int
    ended: int
    key: str
    user: str
    team: str
    tags: tuple[str, ...]
    model: str
    agent: str
    mode: str
    repository: str
    end: str
    usage: Usage
    cost: int
    reserved: int
    task: bytes

    def values(self, dimension: str) -> tuple[str, ...]:
        """What the call is called in a dimension: one name, or a tag for each."""
        if dimension == "tag":
            return tuple(dict.fromkeys(self.tags)) or ("",)
        return (str(getattr(self, dimension)),)


@dataclass
class Books:
    """The house, and what is known of it. `keys`: id by "user/team"."""

    house: House
    zone: ZoneInfo
    facts: list[Fact] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    operator: Any = None

    @property
    def now(self) -> int:
        return self.house.clock.now_us()

    @property
    def today(self) -> date:
        return self.day(self.now)

    @property
    def ended(self) -> list[Fact]:
        return [one for one in self.facts if one.end != "running"]

    def day(self, at: int) -> date:
        return datetime.fromtimestamp(at // 1_000_000, self.zone).date()

    def start(self, day: date) -> int:
        """The first microsecond of a day."""
        return int(datetime.combine(day, time(), self.zone).astimezone(UTC).timestamp()) * 1_000_000

    def of(self, first: date, last: date, **where: str) -> list[Fact]:
        """The ended calls of these days, both included, that have these values."""
        return [
            one
            for one in self.ended
            if first <= self.day(one.at) <= last and all(value in one.values(name) for name, value in where.items())
        ]

    async def visitor(self, user_id: str = "", role: str = "", language: str = "en") -> Visitor:
        return await visitor(self.house, user_id, role, language)

    async def api(self, path: str, **query: Any) -> Any:
        answer = await self.operator.get(f"/admin/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(self, method: str, path: str, **body: Any) -> Any:
        answer = await self.operator.request(method, f"/admin/v1/{path}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else {}


def cost(facts: Iterable[Fact]) -> int:
    return sum(one.cost for one in facts)


def usd(nanousd: int) -> Decimal:
    return Decimal(nanousd).scaleb(-9)


def groups(pairs: Iterable[tuple[Any, Fact]]) -> dict[Any, list[Fact]]:
    """The calls by what they are paired with."""
    found: dict[Any, list[Fact]] = defaultdict(list)
    for value, one in pairs:
        found[value].append(one)
    return found


def first_of(day: date, period: str) -> date:
    """The first day of the week or the month that holds a day."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def month_end(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


@asynccontextmanager
async def known_books(home: Path, zone_name: str, seed: int, now: str, calls: int = 400) -> AsyncIterator[Books]:
    """Open a house in this time zone at this local time whose calls are drawn by this seed; close it at the end."""
    zone, dice = ZoneInfo(zone_name), random.Random(seed)
    now_us = int(datetime.fromisoformat(now).replace(tzinfo=zone).timestamp()) * 1_000_000
    catalog = load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "simulator")
    clock = FakeClock(now_us)
    settings = ControlPlaneSettings(models=lambda: catalog, simulated=True, time_zone=zone_name)
    plane = await open_control_plane(home, settings, clock)
    app = create_control_app(plane, partial(create_console, is_simulated=True, command="sekisho"))
    with JournalWriter(home / "journal", "call-a") as writer:
        books = Books(House(plane, app, clock, home, writer), zone)
        async with httpx.AsyncClient(transport=_OnSocket(app), base_url="http://localhost") as books.operator:
            await _people(books)
            books.facts = sorted(_facts(books, dice, calls), key=lambda one: one.id)
            for record in _records(books.facts):
                writer.append(record)
            while await plane.drain_once():
                pass
            await _leave(books)
            yield books
    await plane.close()


class _OnSocket(httpx.AsyncBaseTransport):
    """Calls the application as over its Unix socket: as the operator."""

    def __init__(self, app: Any) -> None:
        async def on_socket(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "server": ("/run/control.sock", None)}, receive, send)

        self._transport = httpx.ASGITransport(on_socket)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


async def _people(books: Books) -> None:
    services = books.house.plane.services()
    for team, lead in (("red", "alice"), ("blue", "charlie"), ("green", "finn")):
        users = {user for user, of, *_ in PEOPLE if user and of == team}
        roles: Any = {user: "lead" if user == lead else "member" for user in users}
        await services.teams.create("operator", team_id=team, alias=f"{team} & <co>", members=roles)
    await services.users.create("operator", user_id="mallory")
    await services.grants.grant("mallory", Grant("cost_manager"), BOSS)
    for user, team, *_ in PEOPLE:
        draft = KeyDraft(alias=f"{user}-{team}", user_id=user, team_id=team)
        books.keys[f"{user}/{team}"] = (await services.keys.create(draft, "boss")).stored.id


async def _leave(books: Books) -> None:
    """Erin has moved to blue, a key of Dora's, Finn and his team are gone, red has a new name."""
    await books.send("DELETE", "teams/red/members/erin")
    await books.send("DELETE", f"keys/{books.keys['dora/blue']}")
    await books.send("DELETE", "teams/green")
    await books.send("DELETE", "users/finn")
    await books.send("PATCH", "teams/red", alias="紅 組")


def _moments(books: Books, dice: random.Random, count: int) -> list[int]:
    """Times of the months known: by chance, and on and beside the edges of days, weeks, months and of summer time."""
    last, found = books.today, []
    first = (last.replace(day=1) - timedelta(days=100)).replace(day=1)
    span = books.now - books.start(first)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        length = books.start(day + timedelta(days=1)) - books.start(day)
        if day.day == 1 or length != DAY_US or number % 9 == 0:
            found += [books.start(day) + off for off in (-1, 0, 1, 3_599_999_999, 3_600_000_000, 7_200_000_000)]
    found += [books.start(books.today), books.now - 1]
    found += [books.now - int(span * dice.random() ** 1.6) for _ in range(count)]
    # none in the second half of the third month: a forecast and a chart must bear days without calls
    gap = (books.start(first + timedelta(days=48)), books.start(first + timedelta(days=57)))
    return sorted(at for at in found if at < books.now and not gap[0] <= at < gap[1])


def _facts(books: Books, dice: random.Random, count: int) -> Iterable[Fact]:
    moments = _moments(books, dice, count)
    first, last = moments[0], moments[-1]
    for number, at in enumerate(moments):
        part = (at - first) / (last - first)
        user, team, *_ = dice.choice([one for one in PEOPLE if one[2] <= part <= one[3]])
        end = dice.choice(ENDS)
        if end == "running" and at < books.now - 3 * DAY_US:
            end = "ok"
        tags = tuple(dice.sample(TAGS, dice.choice((0, 1, 1, 2, 3))))
        repository = dice.choice(REPOSITORIES)
        has_task = dice.random() < 0.8
        amount = dice.choice((dice.randrange(1, 9_999_999), 5_000_000 + dice.randrange(3) - 1, dice.randrange(10**10)))
        usage = Usage(*(dice.randrange(10 ** dice.randrange(1, 6)) for _ in range(5)))
        yield Fact(
            id=(at // 1000).to_bytes(6, "big") + number.to_bytes(10, "big"),
            at=at,
            ended=at + (5 if end == "refused" else dice.randrange(1, 90_000_000)),
            key=books.keys[f"{user}/{team}"],
            user=user,
            team=team,
            tags=tags,
            model=dice.choice(MODELS),
            agent=dice.choice(AGENTS),
            mode=dice.choice(("plan", "act", "act", "")) if has_task else "",
            repository=repository if has_task else "",
            end=end,
            usage=usage if end in ("ok", "failed") else Usage(),
            cost=0 if end in ("refused", "running") else amount,
            reserved=amount * 3,
            task=f"{user[:4]}-{team[:4]}-{part * 14:.0f}-{repository[:3]}".encode().ljust(16)[:16] if has_task else b"",
        )


def _records(facts: Sequence[Fact]) -> list[Record]:
    records: list[Record] = []
    for one in facts:
        caller = Caller("default", one.key, one.user, one.team, one.tags, one.agent)
        task = TaskNote(one.task, b"", one.mode, "human", one.repository) if one.task else None
        if one.end == "refused":
            said = ("admit", "budget_exceeded", "No.", ())
            records.append(Refused(one.id, one.at, one.ended, caller, "openai_chat", one.model, *said, task=task))
            continue
        records.append(Opened(one.id, one.at, caller, "openai_chat", one.model, True, 10, one.reserved, task=task))
        if one.end != "running":
            is_metered = one.end != "interrupted"
            status: Any = one.end
            costs = (one.usage, one.cost, one.cost)
            records.append(Settled(one.id, one.ended, status, None, "", "", is_metered, False, *costs, (), 1, 1, ()))
    return records
