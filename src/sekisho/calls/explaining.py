"""Would this call pass, and why not: the stages of the path themselves, up to the point where money would leave.

Above: the admin API. Below: the stages, on a gate whose counters are loaded from the ledger for this one question.
Nothing is recorded, sent or held. A call process is asked what its counters say: they alone know what the last minute
has used of rate limits. While none answers, of limits only the calls under way count.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, NoReturn

import msgspec

from sekisho.access.keys import check, scopes_of
from sekisho.access.organisation import Team
from sekisho.access.policies import Allowance
from sekisho.access.resolution import resolve_keys
from sekisho.calls.call import Agent, Call, Trail
from sekisho.calls.ceiling import ceiling_nanousd, measure
from sekisho.calls.gate import Gate, Limits, Registry
from sekisho.calls.path import join
from sekisho.calls.reply import Counted, Next, Reply, Stage
from sekisho.calls.stages.admit import admission
from sekisho.calls.stages.authorize import authorize
from sekisho.calls.stages.resolve import resolve
from sekisho.clock import Clock, id_text, new_id
from sekisho.errors import BudgetExceeded, NotAllowed, RateLimited, SekishoError
from sekisho.ledger.booked import Booked
from sekisho.ledger.counters import Counters, Demand, JournalPosition, LimitUse, Look, Spent, Standing, Verdict
from sekisho.ledger.journal import Record
from sekisho.upstream.http1 import Http1Response
from sekisho.upstream.payload import Payload
from sekisho.values import (
    BearerCredential,
    Budget,
    Credential,
    Delivery,
    Deployment,
    Language,
    Policy,
    RateLimit,
    Snapshot,
    VirtualKey,
    Wire,
)

LookAt = Callable[[Demand], Awaitable[Look]]
GateName = Literal["key", "model", "access", "price", "budgets", "limits"]
GATES: tuple[GateName, ...] = ("key", "model", "access", "price", "budgets", "limits")


class Question(msgspec.Struct, frozen=True):
    """A call that somebody thinks of. `body_bytes`: how large it is. `max_output_tokens` None: the most of the model.

    `language`: that of the reasons."""

    key: VirtualKey
    model: str
    body_bytes: int = 4_000
    max_output_tokens: int | None = None
    agent: str = ""
    language: Language = "en"


class GateAnswer(msgspec.Struct, frozen=True):
    """What one gate says. `reason`: the words that the caller would read; empty for a pass."""

    gate: GateName
    answer: Literal["pass", "stop", "not reached"]
    code: str = ""
    reason: str = ""


class Passing(msgspec.Struct, frozen=True):
    """The call as it would be sent. `bound_nanousd`: the most it could cost, in `attempts` tries; held of budgets.

    `asked_model`: where a budget puts `model` in its place. `ending`: what the answer would say at its end if it became
    as long as `max_output_tokens`, which was lowered to fit; else empty. `delay_ms`: how long it would be held back.
    `shortened_by`: the policy that allows no longer answer."""

    model: str
    asked_model: str
    deployments: tuple[Deployment, ...]
    bound_nanousd: int
    attempts: int
    max_output_tokens: int
    ending: str
    delay_ms: int
    shortened_by: Policy | None = None


class Explanation(msgspec.Struct, frozen=True):
    """The answer, with everything that the call comes under. `passing` is None for a call that would be refused.

    `bound_nanousd`: what the call needs as it was asked, in one try; 0 if it did not come so far. `is_live`: the
    counters of the call processes have judged it; `uses`: how much of the limits it would come under is in use."""

    gates: tuple[GateAnswer, ...]
    passing: Passing | None
    bound_nanousd: int
    allowance: Allowance
    budgets: tuple[Standing, ...]
    limits: tuple[RateLimit, ...]
    is_live: bool = False
    uses: tuple[LimitUse, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the call would be sent."""
        return self.passing is not None


class Explainer:
    """Answers questions about the snapshot in force and the ledger as it is."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot | None],
        booked: Callable[[int], Awaitable[Booked]],
        make_counters: Callable[[], Counters],
        clock: Clock,
        limits: Limits,
        look: LookAt | None = None,
    ) -> None:
        """`look` asks the counters of the call processes; without it only the ledger is known."""
        self._look = look
        self._snapshot = snapshot
        self._booked = booked
        self._make_counters = make_counters
        self._clock = clock
        self._limits = limits

    def find_key(self, key_id: str) -> VirtualKey | None:
        """A key as it is in force: with what its team has its say in."""
        snapshot = self._snapshot()
        return next((key for key in snapshot.keys if key.id == key_id), None) if snapshot else None

    async def explain(self, question: Question) -> Explanation:
        """Let the call walk to its gates. Raises StoreUnavailable while the ledger cannot be read."""
        snapshot = self._snapshot() or Snapshot(0, question.key.org_id, (), ())
        counters = _Live(await self._counters(snapshot), self._look)
        gate = self._gate(snapshot, counters, question.language)
        call = self._call(question)
        passing, gates, bound = await _walk(gate, call, question.key)
        model = gate.registry.find_model(passing.model if passing else question.model)
        return Explanation(
            gates=gates,
            passing=passing,
            bound_nanousd=bound,
            allowance=gate.registry.allowance(question.key),
            budgets=await _standings(counters, question.key, model.name if model else ""),
            limits=_limits(snapshot, question.key),
            is_live=counters.seen is not None,
            uses=counters.seen.uses if counters.seen else (),
        )

    def hypothetical_key(self, user_id: str, team: Team | None) -> VirtualKey:
        """A key that this user might have in this team, with what the team allows."""
        snapshot = self._snapshot() or Snapshot(0, "", (), ())
        key = VirtualKey("", snapshot.org_id, b"", user_id=user_id, team_id=team.id if team else "")
        return resolve_keys((key,), (team,) if team else (), snapshot.models)[0]

    async def _counters(self, snapshot: Snapshot) -> Counters:
        """Counters that hold what the ledger has: what was spent, and what calls under way hold."""
        booked = await self._booked(self._clock.now_us())
        counters = self._make_counters()
        await counters.configure(snapshot.budgets, snapshot.limits)
        await counters.load(booked.spent, (0, 0))
        for one in booked.open_calls:
            held = Demand(
                one.call_id, one.scopes, one.model, one.bound_nanousd, one.bound_nanousd, 0, heeds_steps=False
            )
            await counters.admit(held)
        return counters

    def _gate(self, snapshot: Snapshot, counters: Counters, language: Language) -> Gate:
        registry = Registry()
        names = {deployment.credential for model in snapshot.models for deployment in model.deployments}
        registry.deliver(Delivery(snapshot, dict.fromkeys(names, BearerCredential("never sent"))))
        return Gate(
            clock=self._clock,
            registry=registry,
            digest=lambda key: key.encode(),
            journal=_Nowhere(),
            counters=counters,
            upstreams=_Nowhere(),
            limits=self._limits,
            language=language,
        )

    def _call(self, question: Question) -> Call:
        body = _body(question)

        async def read_body() -> bytes:
            return body

        async def pass_time(seconds: float) -> bool:
            return False

        now_us = self._clock.now_us()
        call_id = new_id(now_us)
        return Call(
            id=call_id,
            id_text=id_text(call_id),
            door="openai_chat",
            operation="generate",
            started_at=now_us,
            headers=_headers(question.language),
            read_body=read_body,
            trail=Trail(self._clock.monotonic_us()),
            agent=Agent(question.agent),
            key=question.key,
            wait=pass_time,
        )


async def _walk(gate: Gate, call: Call, key: VirtualKey) -> tuple[Passing | None, tuple[GateAnswer, ...], int]:
    """Walk the stages with the call; how far it came, and its bound."""
    found: list[Passing] = []
    bounds = [0]

    async def probe(gate: Gate, call: Call, next: Next) -> Reply:
        bounds.append(ceiling_nanousd(call, measure(gate, call), 1, call.max_output_tokens))
        admitted, opened = await admission(gate, call)
        await gate.counters.release(call.id)
        found.append(
            Passing(
                model=admitted.known_model.name,
                asked_model=admitted.asked_model,
                deployments=admitted.known_model.deployments,
                bound_nanousd=admitted.bound_nanousd,
                attempts=admitted.attempts,
                max_output_tokens=admitted.max_output_tokens,
                ending=admitted.ending,
                delay_ms=opened.delayed_ms,
                shortened_by=_shortened_by(admitted),
            )
        )
        return Counted(0)

    stages: tuple[Stage, ...] = (resolve, authorize, probe)
    try:
        call.trail.stage = "authenticate"
        check(key, gate.clock.now_us())
        await join(gate, stages)(call)
    except SekishoError as error:
        stopped = _gate_of(call.trail.stage, error)
        return None, _answers(stopped, error), bounds[-1]
    return found[0], tuple(GateAnswer(name, "pass") for name in GATES), bounds[-1]


def _shortened_by(call: Call) -> Policy | None:
    """The policy for which the answer is not longer than it is."""
    shortest = call.known_passage.allowance.shortest()
    return shortest if shortest and shortest.max_output_tokens == call.max_output_tokens else None


def _gate_of(stage: str, error: SekishoError) -> GateName:
    if stage == "authenticate":
        return "key"
    if stage == "resolve":
        return "model"
    if stage == "authorize":
        return "access"
    if isinstance(error, RateLimited):
        return "limits"
    return "price" if isinstance(error, NotAllowed) and not isinstance(error, BudgetExceeded) else "budgets"


def _answers(stopped: GateName, error: SekishoError) -> tuple[GateAnswer, ...]:
    at = GATES.index(stopped)
    before = tuple(GateAnswer(name, "pass") for name in GATES[:at])
    behind = tuple(GateAnswer(name, "not reached") for name in GATES[at + 1 :])
    return (*before, GateAnswer(stopped, "stop", error.code, error.message), *behind)


async def _standings(counters: Counters, key: VirtualKey, model: str) -> tuple[Standing, ...]:
    scopes = set(scopes_of(key))
    standings = await counters.standings()
    return tuple(one for one in standings if one.budget.scope in scopes and one.budget.model in ("", model))


def _limits(snapshot: Snapshot, key: VirtualKey) -> tuple[RateLimit, ...]:
    scopes = set(scopes_of(key))
    return tuple(limit for limit in snapshot.limits if limit.scope in scopes)


def _body(question: Question) -> bytes:
    """A body of this size, in the form that every model takes."""
    fields = {"model": question.model, "messages": [{"role": "user", "content": ""}]}
    if question.max_output_tokens is not None:
        fields["max_tokens"] = question.max_output_tokens  # type: ignore[assignment]
    text = "x" * max(1, question.body_bytes - len(msgspec.json.encode(fields)))
    fields["messages"] = [{"role": "user", "content": text}]
    return msgspec.json.encode(fields)


def _headers(language: Language) -> Mapping[bytes, bytes]:
    return {b"accept-language": language.encode()}


class _Live:
    """Counters that ask those of the call processes first; where none answers, those that hold what the ledger has."""

    def __init__(self, booked: Counters, look: LookAt | None) -> None:
        self.admission_valid_us = booked.admission_valid_us
        self.are_shared = booked.are_shared
        self.failure = booked.failure
        self.seen: Look | None = None
        self._booked = booked
        self._look = look

    async def admit(self, demand: Demand) -> Verdict:
        look = await self._look(demand) if self._look else Look()
        if look.verdict is None:
            return await self._booked.admit(demand)
        self.seen = look
        return look.verdict

    def admit_at_once(self, demand: Demand) -> Verdict | None:
        return None

    async def release(self, call_id: bytes) -> None:
        await self._booked.release(call_id)

    async def standings(self) -> tuple[Standing, ...]:
        return await self._booked.standings()

    async def look(self, demand: Demand) -> Look:
        return await self._booked.look(demand)

    async def configure(self, budgets: tuple[Budget, ...], limits: tuple[RateLimit, ...], epoch: int = 0) -> None:
        raise AssertionError("nothing is put in force")

    async def load(self, spent: tuple[Spent, ...], booked: JournalPosition) -> None:
        raise AssertionError("nothing is loaded")

    async def load_task(self, task_id: bytes, spent_nanousd: int, calls: int) -> None:
        raise AssertionError("a question is of no task")

    async def settle(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> None:
        raise AssertionError("nothing is settled")

    def settle_at_once(self, call_id: bytes, cost_nanousd: int, tokens: int, position: JournalPosition) -> bool:
        raise AssertionError("nothing is settled")


class _Nowhere:
    """A journal and upstreams that are never reached, but for a count, which they do not give."""

    def append(self, record: Record) -> JournalPosition:
        raise AssertionError("nothing is recorded")

    async def committed(self) -> None:
        raise AssertionError("nothing is recorded")

    async def open(
        self,
        deployment: Deployment,
        wire: Wire,
        credential: Credential | None,
        body: bytes | Payload,
        *,
        stream: bool,
        betas: tuple[str, ...],
    ) -> Http1Response:
        _never()

    async def count_tokens(
        self, deployment: Deployment, wire: Wire, credential: Credential | None, body: bytes | Payload
    ) -> int | None:
        return None


def _never() -> NoReturn:
    raise AssertionError("nothing is sent")
