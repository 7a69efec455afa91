"""What explain says is what the path does: random organisations, the same question asked of both."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from sekisho.calls.explaining import Explainer, Question
from sekisho.calls.gate import Limits
from sekisho.clock import SystemClock
from sekisho.errors import SekishoError
from sekisho.ledger.booked import Booked
from sekisho.ledger.counters import LimitUse, Spent
from sekisho.ledger.looking import Answered, Asked, Looks
from sekisho.ledger.windows import span_at
from sekisho.store.counters.memory import MemoryCounters
from sekisho.values import Budget, BudgetStep, Policy, RateLimit, Scope, Snapshot, Window
from sekisho.web.admin.remedies import remedy
from tests.acceptance.conftest import ALICE, BOB, CHARLIE, DANA, Gateway
from tests.acceptance.control_plane import Running, running_control_plane

KEYS = {"alice": ALICE, "bob": BOB, "charlie": CHARLIE, "dana": DANA}
MODELS = ("nova-pro", "claude-haiku-4-5", "no-such-model")
SCOPES = (Scope("org", "org"), Scope("team", "red"), Scope("user", "alice"), Scope("key", "bob"), Scope("key", "alice"))
CASES = 120


@pytest.fixture
def limits() -> Limits:
    return Limits(slow_down_first_s=0.001, slow_down_most_s=0.002)


def policy(dice: random.Random, number: int) -> Policy:
    return Policy(
        f"p{number}",
        dice.choice(SCOPES),
        f"policy {number}",
        models=dice.choice(((), (), ("nova-*",), ("claude-*", "nova-*"))),
        providers=dice.choice(((), ("bedrock",))),
        geographies=dice.choice(((), (), ("us", "in-region"), ("jp",))),
        agents=dice.choice(((), (), ("cline",), ("c*",))),
        families=dice.choice(((), (), ("claude",), ("n*",))),
        max_output_tokens=dice.choice((None, None, 20)),
    )


def budget(dice: random.Random, number: int) -> Budget:
    steps: tuple[BudgetStep, ...] = ()
    if dice.random() < 0.3:
        steps = (BudgetStep(dice.choice((0, 50)), dice.choice(("refuse", "slow_down")), ""),)
    return Budget(
        f"b{number}",
        dice.choice(SCOPES),
        dice.choice((1_000, 2_000_000, 50_000_000, 10_000_000_000)),
        Window("month", "Asia/Tokyo"),
        model=dice.choice(("", "", "nova-pro")),
        is_hard=dice.random() < 0.8,
        steps=steps,
    )


def limit(dice: random.Random, number: int) -> RateLimit:
    return RateLimit(
        f"l{number}", dice.choice(SCOPES), "", dice.choice((None, 0, 5 * CASES)), dice.choice((None, 100, 10**7)), 1
    )


def organisation(dice: random.Random, snapshot: Snapshot, epoch: int) -> Snapshot:
    return replace(
        snapshot,
        epoch=epoch,
        policies=tuple(policy(dice, number) for number in range(dice.choice((0, 0, 1, 2)))),
        budgets=tuple(budget(dice, number) for number in range(dice.choice((0, 1, 3)))),
        limits=tuple(limit(dice, number) for number in range(dice.choice((0, 0, 1)))),
    )


async def ask(gateway: Gateway, who: str, model: str, agent: str, size: int, most: int) -> tuple[int, str]:
    """The status of the real call, and the code of its refusal."""
    body = {"model": model, "messages": [{"role": "user", "content": "x" * size}], "max_tokens": most}
    headers = {"authorization": f"Bearer {KEYS[who]}", "x-sekisho-agent": agent, "user-agent": "none"}
    async with httpx.AsyncClient(timeout=30, verify=False) as client:
        got = await client.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)
    return got.status_code, "" if got.status_code == 200 else got.json()["error"]["code"]


async def test_the_verdict_is_that_of_the_path(gateway: Gateway, limits: Limits) -> None:
    dice = random.Random(7)
    clock = SystemClock()
    first = gateway.registry.snapshot
    assert first is not None
    seen: set[tuple[str, str]] = set()
    for number in range(CASES):
        snapshot = organisation(dice, first, number + 2)
        spent = tuple(
            Spent(one, span.starts_at, dice.choice((0, 900, 1_900_000)))
            for one in snapshot.budgets
            if (span := span_at(one.window, clock.now_us()))
        )
        who, model, agent = dice.choice(list(KEYS)), dice.choice(MODELS), dice.choice(("cline", "curl", "aider"))
        size, most = dice.choice((10, 3_000)), dice.choice((16, 4_000))

        async def booked(at_us: int, spent: tuple[Spent, ...] = spent) -> Booked:
            return Booked(at_us, spent, {})

        def current(snapshot: Snapshot = snapshot) -> Snapshot:
            return snapshot

        explainer = Explainer(current, booked, lambda: MemoryCounters(clock), clock, limits)
        key = next(key for key in snapshot.keys if key.id == who)
        said = await explainer.explain(Question(key, model, size + 90, most, agent))

        gateway.registry.load(snapshot)
        await gateway.counters.configure((), ())
        await gateway.counters.configure(snapshot.budgets, snapshot.limits)
        await gateway.counters.load(spent, (number + 1, 10**9))
        status, code = await ask(gateway, who, model, agent, size, most)
        stopped = next((gate for gate in said.gates if gate.answer == "stop"), None)
        assert (status == 200, code) == (said.passes, stopped.code if stopped else ""), (number, said.gates, code)
        seen.add((stopped.gate if stopped else "pass", code))
    assert {gate for gate, _ in seen} >= {"pass", "key", "model", "access", "budgets", "limits"}


async def test_the_counters_of_the_call_process_are_asked_and_hold_nothing_for_it(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    two = RateLimit("l", Scope("key", "alice"), requests_per_minute=2)
    await gateway.counters.configure((), (two,))
    clock = SystemClock()
    looks = Looks(clock)

    async def answer() -> None:
        while (question := await looks.take()) is not None:
            asked = msgspec.msgpack.decode(question, type=Asked)
            looks.answer(msgspec.msgpack.encode(Answered(asked.number, await gateway.counters.look(asked.demand))))

    async def booked(at_us: int) -> Booked:
        return Booked(at_us, (), {})

    in_force = replace(snapshot, limits=(two,))
    explainer = Explainer(lambda: in_force, booked, lambda: MemoryCounters(clock), clock, Limits(), looks.ask)
    question = Question(next(key for key in snapshot.keys if key.id == "alice"), "nova-pro", 100, 50)
    assert not (await explainer.explain(question)).is_live  # nobody is there to answer
    async with asyncio.TaskGroup() as group:
        group.create_task(answer())
        await asyncio.sleep(0)
        for used in range(3):
            for _ in range(3):
                said = await explainer.explain(question)
                assert said.is_live and said.uses == (LimitUse(two, used, None, None),)
                assert said.passes == (used < 2)
            status, code = await ask(gateway, "alice", "nova-pro", "curl", 10, 50)
            assert (status, code) == ((200, "") if used < 2 else (429, "rate_limit_exceeded"))
        assert [one.code for one in said.gates if one.answer == "stop"] == ["rate_limit_exceeded"]
        looks.close()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_control_plane(tmp_path / "home") as running:
        yield running


async def make(running: Running, path: str, **body: Any) -> dict[str, Any]:
    answer = await running.operator.post(f"/admin/v1/{path}", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_the_administrator_sees_every_source_and_the_holder_only_figures_of_the_own(running: Running) -> None:
    await make(running, "teams", id="red")
    key = await make(running, "keys", alias="alice", team_id="red", user_id="alice")
    month = {"kind": "month"}
    for kind, owner, amount in (("org", "default", "1000"), ("team", "red", "100"), ("user", "alice", "10")):
        await make(running, "budgets", scope={"kind": kind, "id": owner}, amount_usd=amount, window=month)
    await make(running, "policies", scope={"kind": "team", "id": "red"}, name="ours", providers=["bedrock"])
    question = {"model": "claude", "max_tokens": 100}
    said = (await running.operator.post("/admin/v1/explain", json=question | {"key_id": key["id"]})).json()
    assert [one["gate"] for one in said["gates"] if one["answer"] == "stop"] == ["price"]  # of this model none is known
    assert {(one["scope"]["kind"], one["amount_usd"]) for one in said["budgets"]} == {
        ("org", "1000"),
        ("team", "100"),
        ("user", "10"),
    }
    assert [one["name"] for one in said["policies"]] == ["ours"]
    headers = {"authorization": f"Bearer {key['key']}"}
    own = (await running.gate.post("/v1/sekisho/explain", json=question, headers=headers)).json()
    assert {(one["scope"]["kind"], one.get("amount_usd"), one["passes"]) for one in own["budgets"]} == {
        ("org", None, True),
        ("team", None, True),
        ("user", "10", True),
    }
    assert "'1000'" not in str(own) and "'100'" not in str(own)


async def test_the_policy_that_makes_answers_shorter_is_named(gateway: Gateway) -> None:
    snapshot = gateway.registry.snapshot
    assert snapshot is not None
    clock = SystemClock()
    policies = tuple(Policy(f"{most}", SCOPES[1], f"at most {most}", max_output_tokens=most) for most in (900, 50))

    async def booked(at_us: int) -> Booked:
        return Booked(at_us, (), {})

    explainer = Explainer(
        lambda: replace(snapshot, policies=policies), booked, lambda: MemoryCounters(clock), clock, Limits()
    )
    key = next(key for key in snapshot.keys if key.id == "alice")
    for asked, most, policy in ((4_000, 50, policies[1]), (20, 20, None)):
        passing = (await explainer.explain(Question(key, "nova-pro", 100, asked))).passing
        assert passing is not None
        assert (passing.max_output_tokens, passing.shortened_by) == (most, policy)


async def test_an_increase_is_room_and_the_lists_of_key_and_team_are_named(running: Running) -> None:
    await make(running, "teams", id="red", models=["claude"])
    key = await make(running, "keys", alias="alice", team_id="red")
    month, scope = {"kind": "month"}, {"kind": "team", "id": "red"}
    increase = {"amount_usd": "5", "until": "7d"}
    await make(running, "budgets", scope=scope, amount_usd="1", window=month, increase=increase)
    said = (await running.operator.post("/admin/v1/explain", json={"model": "claude", "key_id": key["id"]})).json()
    assert [(one["room_usd"], one["passes"]) for one in said["budgets"]] == [("6", True)]
    assert said["team"] == {"id": "red", "models": ["claude"], "blocked": False}
    assert said["key"]["models"] == []


async def test_a_key_that_somebody_might_have_is_explained_like_one_that_is_there(running: Running) -> None:
    await make(running, "teams", id="red", models=["claude"])
    await make(running, "users", id="alice")
    await make(running, "users", id="bob")
    await make(running, "teams/red/members", user_id="alice")
    month = {"kind": "month"}
    for kind, owner in (("team", "red"), ("member", "red/alice"), ("user", "alice"), ("user", "bob")):
        await make(running, "budgets", scope={"kind": kind, "id": owner}, amount_usd=7, window=month)
    key = await make(running, "keys", team_id="red", user_id="alice")

    async def explained(status: int = 200, **who: str) -> Any:
        answer = await running.operator.post("/admin/v1/explain", json={"model": "claude", **who})
        assert answer.status_code == status, answer.text
        return answer.json()

    real, thought = await explained(key_id=key["id"]), await explained(user_id="alice", team_id="red")
    assert {one["scope"]["kind"] for one in thought["budgets"]} == {"team", "member", "user"}
    assert thought == real | {"key": None}
    assert (await explained(team_id="red"))["team"] == {"id": "red", "models": ["claude"], "blocked": False}
    assert len((await explained(user_id="bob"))["budgets"]) == 1
    await explained(404, user_id="bob", team_id="red")  # no member, so no key
    await explained(404, user_id="nobody")
    await explained(400)
    await explained(400, key_id=key["id"], user_id="alice")


async def test_a_key_out_of_sight_is_like_one_that_is_not_there(running: Running) -> None:
    await make(running, "teams", id="red")
    await make(running, "teams", id="blue")
    key = await make(running, "keys", team_id="blue")
    await make(running, "users", id="bob")
    token = (await make(running, "tokens", user_id="bob"))["token"]
    await make(running, "role-grants", user_id="bob", role="team_lead", team_id="red")
    headers = {"authorization": f"Bearer {token}"}
    answers = [
        await running.gate.post("/admin/v1/explain", json={"key_id": one, "model": "claude"}, headers=headers)
        for one in (key["id"], "0" * 26)
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].text == answers[1].text


async def test_a_call_that_was_refused_is_explained_with_what_helps(running: Running) -> None:
    key = await make(running, "keys", alias="alice", user_id="alice")
    raw = await running.call_of(key, status="failed", error="upstream_timeout", message="Too slow.")
    await running.plane.drain_once()
    (call,) = (await running.operator.get("/admin/v1/calls")).json()["calls"]
    assert bytes(raw)
    for language in ("en", "ja"):
        said = (await running.operator.get(f"/admin/v1/calls/{call['id']}/explain?language={language}")).json()
        assert (said["error"], said["message"]) == ("upstream_timeout", "Too slow.")
        assert said["remedy"] == remedy("failed", "upstream_timeout", language)
    assert (await running.operator.get(f"/admin/v1/calls/{'0' * 26}/explain")).status_code == 404


def test_every_error_has_a_remedy_of_its_own() -> None:
    def codes(kind: type[SekishoError]) -> set[str]:
        return {kind.code} | {code for child in kind.__subclasses__() for code in codes(child)}

    mine = codes(SekishoError) - {"internal_error", "not_found", "conflict", "journal_corrupt"}
    unknown = remedy("failed", "no such code", "en")
    assert {code for code in mine if remedy("failed", code, "en") == unknown} == set()
    assert {code for code in mine if remedy("failed", code, "ja") == remedy("failed", "no such code", "ja")} == set()
