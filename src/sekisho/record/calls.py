"""Calls as people look at them: rows, and the questions that the console and the admin API may ask.

Implemented by the store. Times are microseconds since the epoch, money is integer nano-USD.
"""

from collections.abc import Collection, Iterable
from typing import Literal, Protocol

import msgspec

from sekisho.values import CallStatus, Usage


class CallRow(msgspec.Struct, frozen=True):
    """One call. `change` grows with every change of any call, so that a page can ask what is new.

    A running call has no `ended_at`, no usage and no cost yet. Caller, `door` and `model` are empty where they are not
    known: a settlement whose opening was lost. `agent`, `agent_version` and `session` are the client's own claims.
    What a budget did to the call: `asked_model` was asked for, and `model` served in its place; the answer had at most
    `clamped_tokens`, fewer than asked; it was held back for `delayed_ms`. `tools`: those that the answer called, and
    how often, by name; an empty name for what is more than a row holds. `lead_us`: before its admission, when it
    `started_at`. `waited_us`: for its body, for room in a budget, for counters and counts. For `task_id`, `mode` and
    `turn` see `record.tasks` (`repository` is a claim too), for what its prompt cache did `record.cache`.
    """

    id: bytes
    change: int
    status: CallStatus | Literal["running"]
    org_id: str
    key_id: str
    user_id: str
    team_id: str
    tags: tuple[str, ...]
    agent: str
    agent_version: str
    session: str
    door: str
    model: str
    stream: bool
    request_bytes: int
    reserved_nanousd: int
    started_at: int
    ended_at: int | None = None
    stage: str = ""
    stop_reason: str = ""
    error: str = ""
    message: str = ""
    is_metered: bool = True
    client_left: bool = False
    usage: Usage = Usage()
    list_cost_nanousd: int = 0
    cost_nanousd: int = 0
    price_version: str = ""
    price_scope: str = ""
    tools: tuple[tuple[str, int], ...] = ()
    first_byte_us: int = 0
    upstream_us: int = 0
    stages_us: tuple[int, ...] = ()
    asked_model: str = ""
    clamped_tokens: int = 0
    delayed_ms: int = 0
    cache_saved_nanousd: int = 0
    cache_lost_nanousd: int = 0
    cache_cause: str = ""
    task_id: bytes = b""
    mode: str = ""
    turn: str = ""
    repository: str = ""
    lead_us: int = 0
    waited_us: int = 0

    @property
    def total_us(self) -> int:
        """From the first byte of the request to the booking of its end; 0 while it runs."""
        return 0 if self.ended_at is None else self.ended_at - self.started_at + self.lead_us

    @property
    def gateway_us(self) -> int:
        """Our own part: what was neither waiting nor the upstream's. The three are the total, exactly."""
        return self.total_us - self.waited_us - self.upstream_us if self.ended_at is not None else 0


class AttemptRow(msgspec.Struct, frozen=True):
    """One try of a call at one deployment. `error` is empty if it answered; status 0: no answer came."""

    deployment: str
    started_at: int
    duration_us: int
    status: int
    error: str
    usage: Usage
    list_cost_nanousd: int
    cost_nanousd: int
    price_version: str
    price_scope: str
    upstream_request_id: str


class Part(msgspec.Struct, frozen=True):
    """Calls of these teams, and of this user."""

    team_ids: tuple[str, ...] = ()
    user_id: str = ""


class CallFilter(msgspec.Struct, frozen=True):
    """Which calls; an empty field means any. `since` <= start of the call < `until`. `is_ended`: not those running.

    Of `mode` and `repository`, which calls may lack, None means any. `part`: only of this part of the organisation.
    """

    key_id: str = ""
    user_id: str = ""
    team_id: str = ""
    model: str = ""
    status: str = ""
    since: int | None = None
    until: int | None = None
    is_ended: bool = False
    part: Part | None = None
    agent: str = ""
    tag: str = ""
    task_id: bytes = b""
    mode: str | None = None
    repository: str | None = None


ANY_CALL = CallFilter()


class Pace(msgspec.Struct, frozen=True):
    """So many calls that began in one step of time and ended in another; `ended` None: under way."""

    began: int
    ended: int | None
    status: CallStatus | Literal["running"]
    calls: int
    cost_nanousd: int


class Payers(msgspec.Struct, frozen=True):
    """Everybody who pays for a call, beside the organisation; an empty id: nobody."""

    key_id: str = ""
    user_id: str = ""
    team_id: str = ""
    tags: tuple[str, ...] = ()


class CallQueries(Protocol):
    """What may be asked about calls. Everything is within one organisation."""

    async def find(self, org_id: str, call_id: bytes) -> CallRow | None:
        """One call, by its id."""
        ...

    async def attempts(self, call_ids: Collection[bytes]) -> dict[bytes, list[AttemptRow]]:
        """The tries of each call at its deployments, in order; a call without any is left out."""
        ...

    async def recent(
        self, org_id: str, *, limit: int, before: bytes | None = None, where: CallFilter = ANY_CALL
    ) -> list[CallRow]:
        """Calls, newest first, that began before the call `before`."""
        ...

    async def changed(self, org_id: str, *, after: int, limit: int) -> list[CallRow]:
        """Calls that changed after change number `after`, in the order of their last change."""
        ...

    async def pace(self, org_id: str, *, since: int, step_us: int) -> list[Pace]:
        """The calls since a time, by steps of so long from then on; in no order."""
        ...

    async def own_times(self, org_id: str, *, since: int, share: float = 1.0) -> list[tuple[int, int]]:
        """Of the calls since a time that were answered: when each began and how long it took without its time upstream.

        `share`: of about so many of them, taken evenly."""
        ...

    async def under_way(self, org_id: str) -> tuple[int, int]:
        """How many calls are under way, and what is reserved for them, in nano-USD."""
        ...

    async def payers_since(self, org_id: str, *, after: int) -> set[Payers]:
        """Who pays for the calls that changed after change number `after`; costs as much as there are such calls."""
        ...

    async def last_change(self) -> int:
        """The newest change number: where a live page begins."""
        ...


def tools_text(tools: Iterable[tuple[str, int]]) -> str:
    """Tools and how often each was called, on one line; "+" for those that are more than a row holds."""
    return " ".join(f"{name or '+'}:{count}" for name, count in tools)


def utc_day(at_us: int) -> int:
    """The UTC day of a time, as days since the epoch."""
    return at_us // 86_400_000_000
