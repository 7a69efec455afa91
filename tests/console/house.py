"""A real control plane with a furnished organisation, for tests of pages and for looking at them.

Two teams: in red Alice works and leads, and Bob; in blue Charlie. Six weeks of calls are booked through the journal.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from msgspec.structs import replace

from sekisho.access.register import KeyDraft
from sekisho.access.roles import Grant, administrator
from sekisho.access.rules import RuleWrite
from sekisho.app.console import create_console
from sekisho.app.control_plane import ControlPlane, ControlPlaneSettings, create_control_app, open_control_plane
from sekisho.app.sign_in_settings import DEFAULT, SignInSettings
from sekisho.clock import FakeClock, id_text, new_id
from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.journal import Attempt, Caller, Opened, Record, Refused, Settled, TaskNote
from sekisho.ledger.journal_files import JournalWriter
from sekisho.values import Budget, Scope, Usage, Window

NOW_US = 1_795_157_000_000_000  # 20 Nov 2026, 15:43 in Tokyo
ZONE = "Asia/Tokyo"
DAY_US = 86_400_000_000
DOLLAR = 1_000_000_000
BOSS = administrator("operator", "operator")
MODELS = ("claude-sonnet-4-6", "claude-haiku-4-5", "nova-pro")
AGENTS = (("cline", "3.0.65"), ("claude-code", "2.1.197"), ("codex", "0.169.0"))


@dataclass
class House:
    """A control plane, its application, and what is in it. `keys`: id by alias; `calls`: id by what became of it."""

    plane: ControlPlane
    app: FastAPI
    clock: FakeClock
    home: Path
    writer: JournalWriter
    keys: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    total_nanousd: int = 0

    async def book(self, *records: Record) -> None:
        """Write these into the journal, as a call process does, and let the ledger take them."""
        for record in records:
            self.writer.append(record)
        while await self.plane.drain_once():
            pass

    async def key(self, alias: str, user_id: str, team_id: str) -> str:
        """Make a key: its id."""
        draft = KeyDraft(alias=alias, user_id=user_id, team_id=team_id, tags=("pay",))
        made = await self.plane.services().keys.create(draft, "boss")
        self.keys[alias] = made.stored.id
        return made.stored.id

    async def call(self, alias: str, cost_nanousd: int) -> str:
        """A call of this key, booked now: its id."""
        opened, settled = _call(self, random.Random(cost_nanousd), alias, self.clock.now_us(), cost_nanousd)
        await self.book(opened, settled)
        return id_text(opened.call_id)

    async def task(self, alias: str, calls: int) -> list[str]:
        """A task of so many calls at the catalog's prices, a second apart until now: their ids."""
        now_us = self.clock.now_us()
        note = TaskNote(new_id(now_us), b"", "act", "agent", "payments")
        made = []
        for n in range(calls):
            at = now_us - (calls - n) * 1_000_000
            opened, settled = _call(self, random.Random(n), alias, at, n + 1)
            tried = replace(
                settled.attempts[0],
                deployment="bedrock/us-east-1/jp.anthropic.claude-sonnet-4-6",
                price_version="catalog-2026-11-22",
                price_scope="jp",
            )
            await self.book(replace(opened, task=note), replace(settled, attempts=(tried,)))
            made.append(id_text(opened.call_id))
        return made

    async def begin(self, alias: str, bound_nanousd: int) -> None:
        """A call of this key that stays under way."""
        at = self.clock.now_us()
        caller = _caller(self, alias, random.Random(0))
        await self.book(Opened(new_id(at), at, caller, "openai_chat", MODELS[0], True, 90_000, bound_nanousd))

    async def enter(self, user_id: str = "") -> str:
        """A session of this user, or of the operator: its cookie."""
        sessions = self.plane.services().sessions
        cookie = await sessions.redeem(await sessions.issue_code("operator", user_id))
        assert cookie
        return cookie


@asynccontextmanager
async def furnished_house(
    home: Path, *, is_empty: bool = False, per_day: int = 6, sign_in: SignInSettings = DEFAULT
) -> AsyncIterator[House]:
    """Open it; close it at the end. `is_empty`: people without keys, budgets and calls."""
    catalog = load_catalog().bedrock_models("us-east-1", "http://127.0.0.1:1", "simulator")
    clock = FakeClock(NOW_US)
    settings = ControlPlaneSettings(models=lambda: catalog, simulated=True, time_zone=ZONE, sign_in=sign_in)
    plane = await open_control_plane(home, settings, clock)
    console = partial(create_console, is_simulated=True, command="sekisho")
    with JournalWriter(home / "journal", "call-a") as writer:  # it lives, so that the call under way stays so
        house = House(plane, create_control_app(plane, console), clock, home, writer)
        await _people(house)
        if not is_empty:
            await _keys_and_budgets(house)
            await _work(house, per_day)
        yield house
    await plane.close()


async def _people(house: House) -> None:
    services = house.plane.services()
    await services.teams.create("operator", team_id="red", alias="部門A", members={"alice": "lead", "bob": "member"})
    await services.teams.create("operator", team_id="blue", alias="部門B", members={"charlie": "member"})
    for user_id in ("mallory", "erin"):
        await services.users.create("operator", user_id=user_id)
    await services.grants.grant("mallory", Grant("cost_manager"), BOSS)
    await services.grants.grant("erin", Grant("auditor"), BOSS)


async def _keys_and_budgets(house: House) -> None:
    services = house.plane.services()
    for alias, user_id, team_id in (
        ("cline-alice", "alice", "red"),
        ("ci-alice", "alice", "red"),
        ("cline-bob", "bob", "red"),
        ("cc-charlie", "charlie", "blue"),
    ):
        await house.key(alias, user_id, team_id)
    month, day = Window("month", ZONE), Window("day", ZONE)
    for scope, dollars, window in (
        (Scope("org", services.org_id), 1_600, month),
        (Scope("team", "red"), 1_000, month),
        (Scope("team", "blue"), 500, month),
        (Scope("member", "red/alice"), 600, month),
        (Scope("member", "red/bob"), 300, month),
        (Scope("member", "blue/charlie"), 400, month),
        (Scope("member", "red/alice"), 40, day),
    ):
        budget = Budget("", scope, dollars * DOLLAR, window, thresholds=(80,))
        await services.rules.write(RuleWrite((services.rules.draft(budget, "operator"),)), "operator")


async def _work(house: House, per_day: int) -> None:
    dice = random.Random(7)
    pace = {"cline-alice": 1.0, "ci-alice": 0.25, "cline-bob": 0.8, "cc-charlie": 1.1}
    records: list[Record] = []
    for age in range(44, -1, -1):
        at_day = NOW_US - age * DAY_US
        weekday = (at_day // DAY_US + 4) % 7  # 0: Sunday
        for alias, share in pace.items():
            for _ in range(max(1, int(per_day * share * (0.15 if weekday in (0, 6) else 1)))):
                at = at_day - dice.randrange(int(DAY_US * 0.25))
                records += _call(house, dice, alias, at)
    alice = _caller(house, "cline-alice", dice)
    refused_id, running_id = new_id(NOW_US - 20_000_000), new_id(NOW_US - 4_000_000)
    words = "Sekisho: this month's budget of alice has $0.19 left; this call may cost up to $0.25."
    records.append(
        Refused(refused_id, NOW_US - 20_000_000, NOW_US - 19_999_690, alice, "openai_chat", MODELS[0], "admit",
                "budget_exceeded", words, (18, 6, 9, 11, 88))
    )  # fmt: skip
    records.append(Opened(running_id, NOW_US - 4_000_000, alice, "openai_chat", MODELS[0], True, 90_000, 410_000_000))
    house.calls["refused"], house.calls["running"] = id_text(refused_id), id_text(running_id)
    await house.book(*records)


def _caller(house: House, alias: str, dice: random.Random) -> Caller:
    agent, version = AGENTS[0] if "cline" in alias else AGENTS[1] if "cc" in alias else AGENTS[2]
    user_id = alias.partition("-")[2]
    team_id = "blue" if user_id == "charlie" else "red"
    return Caller("default", house.keys[alias], user_id, team_id, ("pay",), agent, version, "s-1")


def _call(house: House, dice: random.Random, alias: str, at: int, cost_nanousd: int = 0) -> tuple[Opened, Settled]:
    call_id = new_id(at)
    caller = _caller(house, alias, dice)
    model = MODELS[0] if dice.random() < 0.7 else dice.choice(MODELS[1:])
    usage = Usage(dice.randrange(80, 900), dice.randrange(200_000, 900_000), dice.randrange(2_000, 60_000), 0,
                  dice.randrange(200, 4_000))  # fmt: skip
    cost = cost_nanousd or dice.randrange(1_200_000_000, 5_400_000_000)
    house.total_nanousd += cost
    house.calls.setdefault(f"of {alias}", id_text(call_id))
    where = "bedrock/us-east-1/anthropic.claude"
    took = dice.randrange(2_000_000, 15_000_000)
    tried = Attempt(where, at, took, 200, "", usage, cost, cost, "2026-11-15", "in-region", "req-1")
    opened = Opened(call_id, at, caller, "openai_chat", model, True, 90_000, cost * 3, task=_task(alias, at))
    settled = Settled(call_id, at + took + 300, "ok", "tool_use", "", "", True, False, usage, cost, cost, (tried,),
                      took // 4, took, (18, 6, 9, 11, 88, 41, 22),
                      tools=(("execute_command", 1), ("read_file", 3)))  # fmt: skip
    return opened, settled


def _task(alias: str, at: int) -> TaskNote:
    """A task for each key and day; CI does not name its folder, and codex tells no mode."""
    day = at // DAY_US
    mode = "" if alias.startswith("ci") else ("plan", "act", "act")[at % 3]
    repository = "" if alias.startswith("ci") else ("payments", "shop-front")[day % 2]
    return TaskNote(f"{alias[:9]}-{day:06}".encode().ljust(16), b"", mode, "agent", repository)


def cookie_of(token: str) -> dict[str, Any]:
    """The session's cookie as a browser takes it."""
    return {"name": "sekisho_session", "value": token, "domain": "127.0.0.1", "path": "/console"}
