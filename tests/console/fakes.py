"""Calls and sessions that live in memory, for the console's tests and for looking at its pages."""

import secrets
from collections.abc import Sequence

import msgspec

from sekisho.access.roles import administrator
from sekisho.access.sessions import Visitor
from sekisho.clock import FakeClock, id_text
from sekisho.values import Usage
from sekisho.web.console.views import (
    CallChoices,
    CallFilter,
    CallTotals,
    CallView,
    Choice,
    ConsoleInfo,
    ConsoleSession,
    Interval,
    Redeemed,
)

STAGES = ("trace", "authenticate", "resolve", "authorize", "admit", "place", "send")
STAGES_US = (18, 6, 9, 11, 41, 22)
NOW_US = 1_795_070_531_250_000  # 19 Nov 2026 in Tokyo
CODE = "one-time-code"
INFO = ConsoleInfo(stages=STAGES, simulated=True, time_zone="Asia/Tokyo", version="0.1.0")


def call_id(number: int, at_us: int) -> str:
    """An identifier that sorts by time and then by number."""
    return id_text((at_us // 1000).to_bytes(6, "big") + number.to_bytes(10, "big"))


def make_call(number: int, at_us: int, **fields: object) -> CallView:
    """A call that passed, unless told otherwise."""
    defaults: dict[str, object] = {
        "call_id": call_id(number, at_us),
        "started_at": at_us,
        "status": "ok",
        "change_seq": number,
        "key_id": "key-a1",
        "key_alias": "cline-a1",
        "user_id": "alice",
        "agent": "cline",
        "agent_version": "3.0.65",
        "model": "claude-sonnet-4-6",
        "deployment": "bedrock-us-east-1",
        "usage": Usage(88, 33_350, 240, 0, 388),
        "cost_nanousd": 17_025_000,
        "reserved_nanousd": 243_100_000,
        "price_version": "2026-11-15",
        "price_scope": "in-region",
        "duration_us": 6_842_300,
        "first_byte_us": 1_204_200,
        "upstream_us": 6_842_020,
        "stages_us": STAGES_US,
        "stop_reason": "tool_use",
    }
    return msgspec.convert({**defaults, **fields}, CallView)


RUNNING = {"status": "running", "usage": Usage(), "cost_nanousd": 0, "duration_us": 0, "upstream_us": 0,
           "first_byte_us": 0, "stop_reason": None}  # fmt: skip
REFUSED = {"status": "refused", "stage": "admit", "error": "budget_exceeded", "usage": Usage(), "cost_nanousd": 0,
           "reserved_nanousd": 0, "duration_us": 310, "upstream_us": 0, "first_byte_us": 0, "deployment": "",
           "stages_us": STAGES_US[:5], "stop_reason": None, "price_version": "", "price_scope": "",
           "message": "The daily budget of team-a has $0.12 left; this call may cost up to $0.24."}  # fmt: skip
UNKNOWN_KEY = {**REFUSED, "stage": "authenticate", "error": "invalid_api_key", "stages_us": (18, 4), "key_id": "",
               "key_alias": "", "user_id": "", "model": "", "message": "The key is missing or not valid.",
               "agent": "claude-code", "agent_version": "2.1.197"}  # fmt: skip
FAILED = {"status": "failed", "error": "upstream_unavailable", "usage": Usage(), "cost_nanousd": 0,
          "duration_us": 2_010_000, "upstream_us": 2_009_500, "first_byte_us": 0, "stop_reason": None,
          "message": "The model provider is not available."}  # fmt: skip
LEFT: dict[str, object] = {"status": "interrupted", "error": "client_left", "stop_reason": None,
                           "duration_us": 3_100_000, "upstream_us": 3_099_000}  # fmt: skip
UNMETERED = {"status": "interrupted", "is_metered": False, "usage": Usage(), "cost_nanousd": 243_100_000,
             "stop_reason": None}  # fmt: skip

_PEOPLE = (
    {"user_id": "alice", "key_id": "key-a1", "key_alias": "cline-a1", "agent": "cline", "agent_version": "3.0.65"},
    {"user_id": "bob", "key_id": "key-b1", "key_alias": "cc-b1", "agent": "claude-code", "agent_version": "2.1.197"},
    {"user_id": "開発者A3", "key_id": "key-a3", "key_alias": "codex-a3", "agent": "codex", "agent_version": "0.169.0"},
    {"user_id": "", "key_id": "key-ci", "key_alias": "ci-batch", "agent": "continue", "agent_version": ""},
)
_MODELS = (
    {"model": "claude-sonnet-4-6", "deployment": "bedrock-us-east-1"},
    {"model": "claude-opus-4-6", "deployment": "bedrock-us-west-2", "cost_nanousd": 243_100_000,
     "usage": Usage(240, 0, 61_820, 0, 702)},
    {"model": "claude-haiku-4-5", "deployment": "bedrock-ap-northeast-1", "cost_nanousd": 1_910_400,
     "usage": Usage(820, 4_410, 0, 0, 120), "duration_us": 910_000, "upstream_us": 909_600, "first_byte_us": 320_000},
    {"model": "nova-pro", "deployment": "bedrock-us-east-1", "cost_nanousd": 38_000, "usage": Usage(210, 0, 0, 0, 4)},
)  # fmt: skip
_STATES: tuple[dict[str, object], ...] = (
    {},
    {},
    RUNNING,
    {},
    REFUSED,
    {},
    FAILED,
    {},
    LEFT,
    {"stop_reason": "max_tokens"},
    UNKNOWN_KEY,
    UNMETERED,
)


def make_calls(count: int = 40, now_us: int = NOW_US) -> list[CallView]:
    """Calls of every state, oldest first."""
    calls = []
    for number in range(1, count + 1):
        age = count - number
        state = RUNNING if age in (0, 1, 3) else _STATES[number % len(_STATES)]
        fields = {**_PEOPLE[number % 4], **_MODELS[number % 4 if number % 5 else 0], **state}
        calls.append(make_call(number, now_us - age * 2_300_000 - 400_000, **fields))
    return calls


class FakeQueries:
    """Calls in a list. `put` adds one, or changes the one with the same id, as the ledger would."""

    def __init__(self, calls: Sequence[CallView] = ()) -> None:
        self.calls = {call.call_id: call for call in calls}
        self.error: Exception | None = None

    def put(self, call: CallView) -> CallView:
        changed = msgspec.structs.replace(call, change_seq=self._last() + 1)
        self.calls[changed.call_id] = changed
        return changed

    def _last(self) -> int:
        return max((call.change_seq for call in self.calls.values()), default=0)

    async def last_change(self) -> int:
        if self.error:
            raise self.error
        return self._last()

    async def recent(self, wanted: CallFilter, *, limit: int, before: str | None = None) -> Sequence[CallView]:
        rows = sorted(self.calls.values(), key=lambda call: call.call_id, reverse=True)
        return [call for call in rows if wanted.matches(call) and (before is None or call.call_id < before)][:limit]

    async def changed_after(self, change_seq: int, *, limit: int) -> Sequence[CallView]:
        if self.error:
            raise self.error
        changed = sorted(self.calls.values(), key=lambda call: call.change_seq)
        return [call for call in changed if call.change_seq > change_seq][:limit]

    async def find(self, call_id: str) -> CallView | None:
        return self.calls.get(call_id)

    async def totals(self) -> CallTotals:
        calls = list(self.calls.values())
        running = [call for call in calls if call.status == "running"]
        series = (3, 4, 4, 6, 7, 5, 8, 9, 8, 10, 11, 9, 12, 13, 12, 14, 15, 13, 16, 15)
        return CallTotals(
            passed_last_minute=sum(call.status == "ok" for call in calls),
            passed_last_hour=1284 if calls else 0,
            running=len(running),
            reserved_nanousd=sum(call.reserved_nanousd for call in running),
            cost_last_minute_nanousd=sum(call.cost_nanousd for call in calls),
            cost_today_nanousd=160_380_000_000 if calls else 0,
            own_p50_us=280 if calls else 0,
            own_p99_us=1_600 if calls else 0,
            refused_last_hour=sum(call.status == "refused" for call in calls),
            failed_last_hour=sum(call.status == "failed" for call in calls),
            intervals=tuple(Interval(n * 4, n % 7 // 5, 1 + n % 4, n * 20_000_000, 260 + n % 5 * 9) for n in series)
            if calls
            else (),
        )

    async def choices(self) -> CallChoices:
        calls = self.calls.values()
        return CallChoices(
            agents=tuple(Choice(name, name) for name in sorted({call.agent for call in calls})),
            models=tuple(Choice(name, name) for name in sorted({call.model for call in calls if call.model})),
            keys=tuple(
                Choice(key, alias) for key, alias in sorted({(c.key_id, c.key_alias) for c in calls if c.key_id})
            ),
        )


class FakeSessions:
    """One unspent code, and the sessions it opened."""

    def __init__(self) -> None:
        self.codes = {CODE}
        self.open: dict[str, ConsoleSession] = {}
        self.error: Exception | None = None

    async def redeem(self, code: str, visitor: Visitor, second: str = "", device: str = "") -> Redeemed:
        if code not in self.codes:
            return Redeemed("wrong")
        self.codes.remove(code)
        return Redeemed("in", self.start())

    def start(self, person: str = "alice") -> str:
        """A session without the way through a code."""
        token = secrets.token_urlsafe(24)
        self.open[token] = ConsoleSession(person, administrator(f"user:{person}", "person"))
        return token

    async def find(self, token: str) -> ConsoleSession | None:
        if self.error:
            raise self.error
        return self.open.get(token)

    async def end(self, token: str) -> None:
        self.open.pop(token, None)


def fake_clock() -> FakeClock:
    return FakeClock(NOW_US)
