"""The journal's records: what the call plane says happened, and the control plane books.

A call that costs money is opened before it is sent upstream and settled before its client sees the end; both are
idempotent by call id. A call refused before that is one `Refused` record; requests without a known key are only
counted. Times are microseconds since the epoch.
"""

import msgspec

from sekisho.values import BreakCause, CallStatus, Door, StopReason, Usage


class Caller(msgspec.Struct, frozen=True, array_like=True):
    """Who called, and with what. `agent`, `agent_version`, `session` are the client's own claims: for grouping only."""

    org_id: str
    key_id: str
    user_id: str = ""
    team_id: str = ""
    tags: tuple[str, ...] = ()
    agent: str = ""
    agent_version: str = ""
    session: str = ""


class TaskNote(msgspec.Struct, frozen=True, array_like=True):
    """The task of a call, as far as the client's claims and its history tell: for grouping only.

    `was`: another id that turned out to be the same task, or empty. `turn`: whose turn it was, or what else it was."""

    id: bytes
    was: bytes = b""
    mode: str = ""
    turn: str = ""
    repository: str = ""
    branch: str = ""


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """A call passed the gate and is about to be sent. `reserved_nanousd` bounds what it can cost.

    `asked_model`: the one asked for, where `model` serves in its place because of a budget. `clamped_tokens`: the
    longest answer, where that was made shorter than the client asked, else 0. `delayed_ms`: held back so long."""

    call_id: bytes
    started_at: int
    caller: Caller
    door: Door
    model: str
    stream: bool
    request_bytes: int
    reserved_nanousd: int
    asked_model: str = ""
    clamped_tokens: int = 0
    delayed_ms: int = 0
    task: TaskNote | None = None


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One try at one deployment. `error`: a code of the error tree, empty if it answered; status 0: no answer came."""

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
    upstream_request_id: str = ""


class CacheBreak(msgspec.Struct, frozen=True, array_like=True):
    """The provider's prompt cache served less than the turn `before` had put there, and what that cost.

    `block`: the first part of the prompt that was another one; `detail`: of the cause, without anybody's words."""

    cause: BreakCause
    block: str
    detail: str
    lost_tokens: int
    lost_nanousd: int
    before: bytes


class Caching(msgspec.Struct, frozen=True, array_like=True):
    """What a prompt cache did for a call. `saved_nanousd`: what it would have cost more without; below zero where
    writing to the cache cost more than reading gave."""

    saved_nanousd: int
    broke: CacheBreak | None = None


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """An opened call has ended and this is its exact cost. `usage` and costs are sums over the attempts.

    `is_metered` False: the upstream gave no usage, so the cost is the reserved bound, to be corrected later.
    `first_byte_us` from the start of the call to the first byte for the client, 0 if none. `upstream_us`: time inside
    attempts. `stages_us`: time in our own stages before send, in the order of STAGES. `classes_nanousd`: what of the
    cost is for fresh input, cache reads, cache writes, output; their sum is the cost where it is metered.
    `total_us`: from the first byte of the request until now; of that `lead_us` before it was admitted, `waited_us` for
    the body, for room in a budget, for counters or counts. What is neither that nor `upstream_us` is our own time.
    `tools`: those that the answer called, by name, and how often; what is too much for a row under an empty name.
    """

    call_id: bytes
    ended_at: int
    status: CallStatus
    stop_reason: StopReason | None
    error: str
    message: str
    is_metered: bool
    client_left: bool
    usage: Usage
    list_cost_nanousd: int
    cost_nanousd: int
    attempts: tuple[Attempt, ...]
    first_byte_us: int
    upstream_us: int
    stages_us: tuple[int, ...]
    classes_nanousd: tuple[int, ...] = ()
    total_us: int = 0
    lead_us: int = 0
    waited_us: int = 0
    caching: Caching | None = None
    tools: tuple[tuple[str, int], ...] = ()


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A call that never passed the gate. `stage` refused it. `caller.key_id` is empty for an unknown key."""

    call_id: bytes
    started_at: int
    ended_at: int
    caller: Caller
    door: Door
    model: str
    stage: str
    error: str
    message: str
    stages_us: tuple[int, ...]
    task: TaskNote | None = None
    total_us: int = 0
    waited_us: int = 0


class Unrecognised(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """So many requests from one address came without a key that is known here, between two times."""

    org_id: str
    address: str
    started_at: int
    ended_at: int
    calls: int


Record = Opened | Settled | Refused | Unrecognised
