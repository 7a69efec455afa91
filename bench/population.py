"""A made-up company that calls models for ninety days: who calls what when, the same at every run."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from sekisho.ledger.journal import Attempt, Caller, Opened, Settled, TaskNote
from sekisho.values import Usage

DAY_US = 86_400_000_000
HOUR_US = DAY_US // 24
FIRST_DAY = 20_391  # 2025-10-30
DAYS = 90
USERS, TEAMS, MODELS, TAGS = 500, 20, 30, 60
REPOSITORIES = 12  # of each team
AGENTS = ("cline", "claude-code", "codex", "opencode", "kilo", "continue", "aider")
_BUSY_HOURS = (1, 1, 1, 1, 1, 2, 4, 8, 10, 9, 6, 9, 10, 9, 8, 6, 4, 3, 2, 2, 1, 1, 1, 1)  # of a day, UTC


@dataclass(frozen=True)
class Desk:
    """One key at work: whose it is, its tags, and the models that its user likes, the favourite first."""

    caller: Caller
    models: tuple[str, ...]


@dataclass(frozen=True)
class MadeCall:
    """One call of a desk."""

    number: int
    desk: Desk
    model: str
    started_at: int
    usage: Usage
    cost_nanousd: int

    @property
    def task(self) -> TaskNote:
        """A desk has one task for each three hours, in one of the repositories of its team; one call in five plans."""
        at = self.started_at // (3 * HOUR_US)
        who, team = self.desk.caller.key_id, self.desk.caller.team_id
        mode, turn = [("plan", "human"), ("plan", "agent"), *[("act", "agent")] * 7, ("", "title")][self.number % 10]
        repository = f"{team}-repository-{(at + int(who[4:7])) % REPOSITORIES:02}"
        return TaskNote(f"{who[4:]}{at:010}".encode().ljust(16, b"-"), b"", mode, turn, repository if mode else "")

    @property
    def id(self) -> bytes:
        """An id as the product makes them: the millisecond first."""
        return (self.started_at // 1000).to_bytes(6, "big") + (self.number * 0x9E3779B97F4A7C15 % 2**80).to_bytes(
            10, "big"
        )


def desks(lot: random.Random) -> list[Desk]:
    """Everybody's keys: a user has one or two, in one team, with one or two tags, and uses three to eight models."""
    made = []
    for user in range(USERS):
        team = f"team-{user % TEAMS:02}"
        weights = [1 / (rank + 1) for rank in range(MODELS)]
        models = dict.fromkeys(f"model-{n:02}" for n in lot.choices(range(MODELS), weights, k=lot.randint(3, 8)))
        for key in range(1 + (user % 5 == 0)):
            tags = tuple(f"project:{n:02}" for n in lot.sample(range(TAGS), lot.randint(1, 2)))
            caller = Caller("default", f"key-{user:03}-{key}", f"user-{user:03}", team, tags, lot.choice(AGENTS), "1.0")
            made.append(Desk(caller, tuple(models)))
    return made


def calls(count: int, seed: int = 1) -> Iterator[MadeCall]:
    """Calls in the order of their start, spread over the days by the hours of work."""
    lot = random.Random(seed)
    everybody = desks(lot)
    hours = list(accumulate(_BUSY_HOURS))
    per_day = -(-count // DAYS)
    number = 0
    for day in range(FIRST_DAY, FIRST_DAY + DAYS):
        today = min(per_day, count - number)
        at = sorted(
            hour * HOUR_US + lot.randrange(HOUR_US) for hour in lot.choices(range(24), cum_weights=hours, k=today)
        )
        for moment, desk in zip(at, lot.choices(everybody, k=today), strict=True):
            number += 1
            model = desk.models[min(int(lot.expovariate(1)), len(desk.models) - 1)]
            fresh, read, out = lot.randrange(200, 9_000), lot.randrange(0, 150_000), lot.randrange(20, 4_000)
            usage = Usage(fresh, read, fresh // 2, 0, out, out // 5)
            cost = fresh * 3_000 + read * 300 + fresh // 2 * 3_750 + out * 15_000
            yield MadeCall(number, desk, model, day * DAY_US + moment, usage, cost)


def records(made: MadeCall) -> tuple[Opened, Settled]:
    """What the journal says of a call that went well."""
    ended_at = made.started_at + 8_000_000 + made.number % 1_000_000
    request = f"{made.number:08x}-1111-4222-8333-{made.number:012x}"
    attempt = Attempt(
        f"{made.model}/us-east-1", made.started_at + 400, 7_999_000, 200, "", made.usage, made.cost_nanousd,
        made.cost_nanousd, "2026-11", "geo", request,
    )  # fmt: skip
    caller = msgspec.structs.replace(made.desk.caller, session=f"session-{made.number // 40}")
    opened = Opened(
        made.id,
        made.started_at,
        caller,
        "anthropic_messages",
        made.model,
        True,
        61_234,
        made.cost_nanousd * 3,
        task=made.task,
    )
    settled = Settled(
        made.id, ended_at, "ok", "tool_use", "", "", True, False, made.usage, made.cost_nanousd, made.cost_nanousd,
        (attempt,), 900_000, 7_999_000, (21, 33, 12, 8, 95, 40, 15),
    )  # fmt: skip
    return opened, settled
