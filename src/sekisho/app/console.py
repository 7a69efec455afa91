"""The console over the store's calls and the sessions: what the pages ask, in the words of `record`."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from fastapi import APIRouter

from sekisho import __version__
from sekisho.access.grants import GrantRegister
from sekisho.access.register import KeyFilter
from sekisho.access.roles import Principal, administrator
from sekisho.access.sessions import Visitor
from sekisho.access.sign_in import SignIn
from sekisho.access.users import UserRegister
from sekisho.calls.path import STAGES
from sekisho.clock import parse_id
from sekisho.errors import NotAuthenticated
from sekisho.ledger.windows import span_at
from sekisho.record.calls import CallFilter as RowFilter
from sekisho.record.calls import Pace
from sekisho.record.spend import Spend, SpendQuery
from sekisho.values import Window
from sekisho.web.admin.authority import OPERATOR
from sekisho.web.admin.services import Services
from sekisho.web.console.calls_view import ViewedCalls, key_label
from sekisho.web.console.router import create_console_router
from sekisho.web.console.views import (
    CallChoices,
    CallFilter,
    CallTotals,
    CallView,
    Choice,
    ConsoleInfo,
    ConsoleSession,
    HandOverView,
    Interval,
    Redeemed,
)

_HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000
_MINUTES = 60
_STEP = 3  # minutes of an interval
_OWN_TIMES = 5_000  # of so many calls of the last hour percentiles are taken
_MOST_KEYS = 200  # that a menu offers; of more those of the newest calls
_MOST_TEAMS = 2_000
_RECENT = 500


def create_console(
    services: Services, *, is_simulated: bool, command: str, settings: tuple[tuple[str, str, bool], ...] = ()
) -> APIRouter:
    """The routes of the pages. `command`: how this program is called in the operator's shell. `settings`: as in
    ConsoleInfo."""
    info = ConsoleInfo(
        stages=tuple(stage.__name__ for stage in STAGES),
        simulated=is_simulated,
        time_zone=services.time_zone,
        version=__version__,
        command=command,
        settings=settings,
        is_https=services.sign_in.public_url.startswith("https:"),
    )
    sessions = LinkedSessions(services.sign_in, services.grants, services.users)
    hand_overs = LinkedHandOvers(services)
    return create_console_router(ConsoleCalls(services), sessions, info=info, hand_overs=hand_overs, services=services)


class LinkedSessions:
    """Open sessions, and who their users are now: roles, leaving and rules hold from the next request on."""

    def __init__(self, sign_in: SignIn, grants: GrantRegister, users: UserRegister) -> None:
        self._sign_in = sign_in
        self._grants = grants
        self._users = users

    async def redeem(self, code: str, visitor: Visitor, second: str = "", device: str = "") -> Redeemed:
        user_id = await self._sign_in.sessions.holder(code)
        if user_id is None:
            return Redeemed("wrong")
        if user_id:
            judged = await self._sign_in.accounts.beside_link(user_id, second, visitor, device)
            if judged.outcome != "in":
                return Redeemed(judged.outcome, wait_s=judged.wait_s)
        token = await self._sign_in.sessions.redeem(code, visitor)
        return Redeemed("in", token) if token else Redeemed("wrong")

    async def find(self, token: str) -> ConsoleSession | None:
        session = await self._sign_in.sessions.find(token)
        if session is None:
            return None
        if not session.user_id:
            return ConsoleSession("admin", administrator(OPERATOR, "operator"), session.id)
        principal = await self._grants.principal(session.user_id)
        if principal is None:
            return None
        name = (await self._users.get(session.user_id)).alias or session.user_id
        found = ConsoleSession(name, principal, session.id, session.method, session.created_at)
        return found if session.method == "oidc" else await self._local(found)

    async def end(self, token: str) -> None:
        await self._sign_in.sessions.end(token)

    async def _local(self, found: ConsoleSession) -> ConsoleSession:
        """The session of a local account: what its person must do first."""
        rules = await self._sign_in.rules.get()
        account = await self._sign_in.accounts.get(found.principal.user_id)
        is_lacking = rules.requires_totp and bool(account.password) and not account.totp
        has_password = bool(account.password) if rules.allows_passwords else None
        return msgspec.structs.replace(found, must="second-factor" if is_lacking else "", has_password=has_password)


class LinkedHandOvers:
    """One-time links that hold keys and access tokens, as the pages show them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def look(self, secret: str) -> HandOverView:
        link = await self._services.hand_overs.look(secret)
        state = link.state(self._services.clock.now_us())
        return HandOverView(link.kind, state, link.expires_at, bool(link.user_id))

    async def redeem(self, secret: str, token: str) -> str:
        who = await self._holder(token) if token else None
        return (await self._services.hand_overs.redeem(secret, who)).secret

    async def _holder(self, token: str) -> Principal:
        found = await self._services.tokens.find_raw(token)
        who = await self._services.grants.principal(found.user_id, found.expires_at) if found else None
        if who is None:
            raise NotAuthenticated("This access token is not valid.")
        return who


class ConsoleCalls:
    """The calls of the organisation, as the pages show them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._calls = services.calls
        self._viewed = ViewedCalls(services)
        self._org_id = services.org_id
        self._used: tuple[int, Sequence[Spend]] | None = None

    async def last_change(self) -> int:
        return await self._calls.last_change()

    async def recent(self, wanted: CallFilter, *, limit: int, before: str | None = None) -> Sequence[CallView]:
        last = parse_id(before) if before else None
        where = RowFilter(
            key_id=wanted.key,
            team_id=wanted.team,
            model=wanted.model,
            status=wanted.status,
            agent=wanted.agent,
        )
        return await self._viewed.views(await self._calls.recent(self._org_id, limit=limit, before=last, where=where))

    async def changed_after(self, change_seq: int, *, limit: int) -> Sequence[CallView]:
        return await self._viewed.views(await self._calls.changed(self._org_id, after=change_seq, limit=limit))

    async def find(self, call_id: str) -> CallView | None:
        row = await self._calls.find(self._org_id, parse_id(call_id))
        return (await self._viewed.views([row]))[0] if row else None

    async def choices(self) -> CallChoices:
        """Every team and key, and what was in use since the month before began."""
        used = await self._used_lately()
        teams = {one.id: one.alias or one.id for one in await self._services.teams.list(limit=_MOST_TEAMS)}
        return CallChoices(
            teams=_named({one.team_id: one.team_id for one in used} | teams),
            agents=_named({one.agent: one.agent for one in used}),
            models=_named({one.model: one.model for one in used}),
            keys=_named(await self._keys()),
        )

    async def _used_lately(self) -> Sequence[Spend]:
        """Which teams, agents and models called; of a large ledger that is dear, and a minute old it is as good."""
        now_us = self._services.clock.monotonic_us()
        if self._used is None or now_us - self._used[0] >= _MINUTE_US:
            window = Window("month", self._services.time_zone)
            month = span_at(window, self._services.clock.now_us())
            before = span_at(window, month.starts_at - 1) if month else None
            query = SpendQuery(by=("team", "agent", "model"), since=before.starts_at if before else None)
            self._used = (now_us, await self._services.spend.spend(self._org_id, query))
        return self._used[1]

    async def _keys(self) -> dict[str, str]:
        """What keys are called, by id."""
        found = await self._services.keys.list(KeyFilter(), limit=_MOST_KEYS + 1)
        if len(found) <= _MOST_KEYS:
            return {key.id: key.alias or key.id for key in found}
        among = {row.key_id for row in await self._calls.recent(self._org_id, limit=_RECENT)}
        labels = await self._services.keys.labels(among)
        return {key_id: key_label(labels, key_id) for key_id in among}

    async def totals(self) -> CallTotals:
        now_us = self._services.clock.now_us()
        since = now_us - _HOUR_US
        paces = await self._calls.pace(self._org_id, since=since, step_us=_MINUTE_US)
        count = sum(pace.calls for pace in paces)
        share = min(1.0, _OWN_TIMES / count) if count else 1.0
        own = sorted(await self._calls.own_times(self._org_id, since=since, share=share))
        running, reserved_nanousd = await self._calls.under_way(self._org_id)
        day = span_at(Window("day", self._services.time_zone), now_us)
        today = await self._services.spend.spend(self._org_id, SpendQuery(since=day.starts_at if day else now_us))
        last_minute = [pace for pace in paces if pace.began >= _MINUTES - 1]
        sorted_own = sorted(own_us for _, own_us in own)
        return CallTotals(
            passed_last_minute=_calls(last_minute, but="refused"),
            passed_last_hour=_calls(paces, but="refused"),
            running=running,
            reserved_nanousd=reserved_nanousd,
            cost_last_minute_nanousd=sum(pace.cost_nanousd for pace in last_minute),
            cost_today_nanousd=sum(spend.cost_nanousd for spend in today),
            own_p50_us=_percentile(sorted_own, 50),
            own_p99_us=_percentile(sorted_own, 99),
            refused_last_hour=sum(pace.calls for pace in paces if pace.status == "refused"),
            failed_last_hour=sum(pace.calls for pace in paces if pace.status in ("failed", "interrupted")),
            intervals=_intervals(paces, own, since),
        )


def _named(labels: Mapping[str, str]) -> tuple[Choice, ...]:
    """Choices by what they are called; nothing is offered for what has no value."""
    return tuple(Choice(value, label) for value, label in sorted(labels.items(), key=lambda one: one[::-1]) if value)


def _calls(paces: Iterable[Pace], *, but: str) -> int:
    return sum(pace.calls for pace in paces if pace.status != but)


def _percentile(ordered: list[int], percent: int) -> int:
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0


def _intervals(paces: Sequence[Pace], own: Sequence[tuple[int, int]], since_us: int) -> tuple[Interval, ...]:
    """The last hour in steps of three minutes."""
    return tuple(
        Interval(
            passed=_calls((pace for pace in paces if first <= pace.began < first + _STEP), but="refused"),
            refused=sum(p.calls for p in paces if p.status == "refused" and first <= p.began < first + _STEP),
            running=sum(
                p.calls for p in paces if p.began < first + _STEP and (p.ended is None or p.ended >= first + _STEP)
            ),
            cost_nanousd=sum(p.cost_nanousd for p in paces if first <= p.began < first + _STEP),
            own_us=_percentile(
                sorted(own_us for at, own_us in own if first <= (at - since_us) // _MINUTE_US < first + _STEP), 50
            ),
        )
        for first in range(0, _MINUTES, _STEP)
    )
