"""What the console shows and whom it asks: values and the small protocols behind them.

The console knows no SQL and no journal. Whoever builds the router hands in `CallQueries` and `ConsoleSessions`.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from sekisho.access.accounts import Outcome
from sekisho.access.roles import Principal
from sekisho.access.sessions import Method, Visitor
from sekisho.values import StopReason, Usage

CallState = Literal["running", "ok", "refused", "failed", "interrupted"]
CALL_STATES: tuple[CallState, ...] = ("running", "ok", "refused", "failed", "interrupted")


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One call as a row. `call_id`: 26 characters that sort by time. Microseconds; `started_at` since the epoch.

    `stage` names the stage that refused, else "". `cost_nanousd` is the exact cost, or while `is_metered` is False the
    reserved bound; 0 while running. `change_seq` grows with every change to any call. `tools`: what the answer called,
    and how often; an empty name for what is more than a row holds. `task_id`: empty for a call of no task.
    """

    call_id: str
    started_at: int
    status: CallState
    change_seq: int
    stage: str = ""
    key_id: str = ""
    key_alias: str = ""
    task_id: str = ""
    user_id: str = ""
    user_name: str = ""
    team_id: str = ""
    agent: str = ""
    agent_version: str = ""
    model: str = ""
    deployment: str = ""
    usage: Usage = Usage()
    cost_nanousd: int = 0
    reserved_nanousd: int = 0
    is_metered: bool = True
    price_version: str = ""
    price_scope: str = ""
    duration_us: int = 0
    first_byte_us: int = 0
    upstream_us: int = 0
    stages_us: tuple[int, ...] = ()
    error: str = ""
    message: str = ""
    client_left: bool = False
    stop_reason: StopReason | None = None
    tools: tuple[tuple[str, int], ...] = ()


class CallFilter(msgspec.Struct, frozen=True):
    """What the list is narrowed to; "" narrows nothing. `team` and `key` are ids."""

    status: str = ""
    team: str = ""
    agent: str = ""
    model: str = ""
    key: str = ""

    def matches(self, call: CallView) -> bool:
        """Whether a call belongs to the list."""
        pairs = (
            (self.status, call.status),
            (self.team, call.team_id),
            (self.agent, call.agent),
            (self.model, call.model),
            (self.key, call.key_id),
        )
        return all(wanted in ("", found) for wanted, found in pairs)


class Choice(msgspec.Struct, frozen=True):
    """One value a filter may take, and the name to show for it."""

    value: str
    label: str


class CallChoices(msgspec.Struct, frozen=True):
    """Every team, the agents and models lately in use, and keys as far as a menu can hold them."""

    teams: tuple[Choice, ...] = ()
    agents: tuple[Choice, ...] = ()
    models: tuple[Choice, ...] = ()
    keys: tuple[Choice, ...] = ()


class Interval(msgspec.Struct, frozen=True):
    """Sums of three minutes of the last hour. `running` and `own_us` (median) are as at its end."""

    passed: int
    refused: int
    running: int
    cost_nanousd: int
    own_us: int


class CallTotals(msgspec.Struct, frozen=True, kw_only=True):
    """The figures above the list, over all calls. "Own" time is a call's duration without its time upstream.

    `today` begins at midnight in the console's time zone. `intervals`: the last hour, oldest first; may be empty.
    """

    passed_last_minute: int
    passed_last_hour: int
    running: int
    reserved_nanousd: int
    cost_last_minute_nanousd: int
    cost_today_nanousd: int
    own_p50_us: int
    own_p99_us: int
    refused_last_hour: int
    failed_last_hour: int
    intervals: tuple[Interval, ...] = ()


class CallQueries(Protocol):
    """Where calls come from. Every method may raise StoreUnavailable."""

    async def last_change(self) -> int:
        """The highest `change_seq` so far, 0 if there is no call."""
        ...

    async def recent(self, wanted: CallFilter, *, limit: int, before: str | None = None) -> Sequence[CallView]:
        """Newest first by `call_id`; `before` is the id of the last row already shown."""
        ...

    async def changed_after(self, change_seq: int, *, limit: int) -> Sequence[CallView]:
        """Calls as they are now whose `change_seq` is greater, rising by it; not filtered."""
        ...

    async def find(self, call_id: str) -> CallView | None:
        """The call with this id, if there is one."""
        ...

    async def totals(self) -> CallTotals:
        """The figures of this moment."""
        ...

    async def choices(self) -> CallChoices:
        """What the list can be narrowed to."""
        ...


class ConsoleSession(msgspec.Struct, frozen=True):
    """A signed-in person: the name to show, and what may be seen and done.

    `must`: what the person has to do first, as the last part of the address where; empty: nothing. `has_password`:
    None where that does not matter, because the person signs in otherwise."""

    person: str
    principal: Principal
    id: str = ""
    method: Method = "link"
    created_at: int = 0
    must: Literal["", "second-factor"] = ""
    has_password: bool | None = None


class Redeemed(msgspec.Struct, frozen=True):
    """What became of a one-time code. "in": `token` is that of the new session; "second": the person's second factor is
    wrong or to be asked for, "wait": not before `wait_s` seconds, and the code is still good; "wrong": it is not."""

    outcome: Outcome
    token: str = ""
    wait_s: int = 0


class ConsoleSessions(Protocol):
    """Who is signed in. Codes and tokens are secrets: compare their digests, never log them."""

    async def redeem(self, code: str, visitor: Visitor, second: str = "", device: str = "") -> Redeemed:
        """Spend a one-time code and open a session. `second`: what was typed as the person's second factor; `device`:
        the cookie of a known browser."""
        ...

    async def find(self, token: str) -> ConsoleSession | None:
        """The session behind a token, None when it is unknown or over."""
        ...

    async def end(self, token: str) -> None:
        """Close a session; an unknown token is no error."""
        ...


HandOverState = Literal["open", "redeemed", "withdrawn", "expired", "gone"]


class HandOverView(msgspec.Struct, frozen=True):
    """A one-time link that holds a key or an access token. `is_bound`: only one person, who must identify, gets it."""

    kind: Literal["key", "token"]
    state: HandOverState
    expires_at: int
    is_bound: bool


class HandOvers(Protocol):
    """One-time links. The secret in a link is never logged."""

    async def look(self, secret: str) -> HandOverView:
        """The link; looking spends nothing. Raises NotFound."""
        ...

    async def redeem(self, secret: str, token: str) -> str:
        """What the link holds, once. `token`: that of whom it is for. Raises NotFound, Conflict, NotAuthenticated,
        NotAllowed."""
        ...


class ConsoleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the console says of this installation. `stages`: names in the order a call walks them; `time_zone`: IANA,
    for a browser that does not say its own. `command`: how this program is called in a shell here.
    `settings`: name, value without what is secret, and whether it is the usual one."""

    stages: tuple[str, ...]
    simulated: bool = False
    time_zone: str = "UTC"
    version: str = ""
    command: str = "sekisho"
    is_https: bool = False
    settings: tuple[tuple[str, str, bool], ...] = ()
