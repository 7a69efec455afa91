"""The console over the store's calls and the sessions: what the pages ask, in the words of `record`."""

import bisect
from collections.abc import Iterable, Sequence

import msgspec
from fastapi import APIRouter

from sekisho import __version__
from sekisho.access.grants import GrantRegister
from sekisho.access.roles import Principal, administrator
from sekisho.access.sessions import Visitor
from sekisho.access.sign_in import SignIn
from sekisho.access.users import UserRegister
from sekisho.calls.path import STAGES
from sekisho.clock import parse_id
from sekisho.errors import NotAuthenticated
from sekisho.ledger.windows import span_at
from sekisho.record.calls import CallFilter as RowFilter
from sekisho.record.calls import CallRow
from sekisho.record.spend import SpendQuery
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
)

_HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000
_INTERVAL_US = 3 * _MINUTE_US
_SCAN_PAGE = 500
_SCAN_ROWS = 5_000  # how far back a filter looks, and how many calls the last hour is summed over


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

    async def redeem(self, code: str, visitor: Visitor) -> str | None:
        return await self._sign_in.sessions.redeem(code, visitor)

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

    async def last_change(self) -> int:
        return await self._calls.last_change()

    async def recent(self, wanted: CallFilter, *, limit: int, before: str | None = None) -> Sequence[CallView]:
        found: list[CallView] = []
        last = parse_id(before) if before else None
        for _ in range(_SCAN_ROWS // _SCAN_PAGE):
            rows = await self._calls.recent(
                self._org_id, limit=_SCAN_PAGE if wanted != CallFilter() else limit, before=last
            )
            found += [view for view in await self._viewed.views(rows) if wanted.matches(view)]
            if len(found) >= limit or len(rows) < _SCAN_PAGE:
                break
            last = rows[-1].id
        return found[:limit]

    async def changed_after(self, change_seq: int, *, limit: int) -> Sequence[CallView]:
        return await self._viewed.views(await self._calls.changed(self._org_id, after=change_seq, limit=limit))

    async def find(self, call_id: str) -> CallView | None:
        row = await self._calls.find(self._org_id, parse_id(call_id))
        return (await self._viewed.views([row]))[0] if row else None

    async def choices(self) -> CallChoices:
        rows = await self._calls.recent(self._org_id, limit=_SCAN_PAGE)
        labels = await self._services.keys.labels({row.key_id for row in rows})
        return CallChoices(
            agents=_choices(row.agent for row in rows),
            models=_choices(row.model for row in rows),
            keys=tuple(
                Choice(key_id, key_label(labels, key_id)) for key_id in sorted({row.key_id for row in rows} - {""})
            ),
        )

    async def totals(self) -> CallTotals:
        now_us = self._services.clock.now_us()
        rows = await self._since(now_us - _HOUR_US)
        day = span_at(Window("day", self._services.time_zone), now_us)
        today = await self._services.spend.spend(self._org_id, SpendQuery(since=day.starts_at if day else now_us))
        last_minute = [row for row in rows if row.started_at >= now_us - _MINUTE_US]
        own = sorted(_own_us(row) for row in rows if row.status == "ok" and row.ended_at)
        running = [row for row in rows if row.status == "running"]
        return CallTotals(
            passed_last_minute=sum(row.status != "refused" for row in last_minute),
            passed_last_hour=sum(row.status != "refused" for row in rows),
            running=len(running),
            reserved_nanousd=sum(row.reserved_nanousd for row in running),
            cost_last_minute_nanousd=sum(row.cost_nanousd for row in last_minute),
            cost_today_nanousd=sum(spend.cost_nanousd for spend in today),
            own_p50_us=_percentile(own, 50),
            own_p99_us=_percentile(own, 99),
            refused_last_hour=sum(row.status == "refused" for row in rows),
            failed_last_hour=sum(row.status in ("failed", "interrupted") for row in rows),
            intervals=_intervals(rows, now_us),
        )

    async def _since(self, since_us: int) -> list[CallRow]:
        found: list[CallRow] = []
        last: bytes | None = None
        while len(found) < _SCAN_ROWS:
            rows = await self._calls.recent(
                self._org_id, limit=_SCAN_PAGE, before=last, where=RowFilter(since=since_us)
            )
            found += rows
            if len(rows) < _SCAN_PAGE:
                break
            last = rows[-1].id
        return found


def _choices(values: Iterable[str]) -> tuple[Choice, ...]:
    return tuple(Choice(value, value) for value in sorted(set(values)) if value)


def _own_us(row: CallRow) -> int:
    return max((row.ended_at or row.started_at) - row.started_at - row.upstream_us, 0)


def _percentile(ordered: list[int], percent: int) -> int:
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else 0


def _intervals(rows: list[CallRow], now_us: int) -> tuple[Interval, ...]:
    """The last hour in steps of three minutes."""
    edges = list(range(now_us - _HOUR_US, now_us, _INTERVAL_US))
    steps: list[list[CallRow]] = [[] for _ in edges]
    for row in rows:
        position = bisect.bisect_right(edges, row.started_at) - 1
        if position >= 0:
            steps[position].append(row)
    return tuple(
        Interval(
            passed=sum(row.status != "refused" for row in step),
            refused=sum(row.status == "refused" for row in step),
            running=sum(row.started_at < edge + _INTERVAL_US <= (row.ended_at or now_us + 1) for row in rows),
            cost_nanousd=sum(row.cost_nanousd for row in step),
            own_us=_percentile(sorted(_own_us(row) for row in step if row.status == "ok"), 50),
        )
        for edge, step in zip(edges, steps, strict=True)
    )
