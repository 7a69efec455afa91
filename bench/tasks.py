"""How well calls are put together into tasks: `python -m bench.tasks` prints a table, per agent.

Made conversations (`bench.conversations`) go through what the gateway uses, on one call process, on two that know
nothing of each other, and on one that is started anew in the middle of the day. Precision: of all pairs of calls that
were put into one task, how many belong together. Recall: of all pairs that belong together, how many were put into
one. Beside it: for how many calls the turn and the mode are right.
"""

import argparse
import heapq
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.conversations import KINDS, Kind, Made, a_day
from sekisho.calls.agents import identify, identify_by_body
from sekisho.conversation.chain import Chain
from sekisho.conversation.claims import read_claims
from sekisho.conversation.tasks import Sight, Task, Tasks
from sekisho.dialects.body import parse_fields

DAYS = 12
SETTINGS = ("one process", "two processes", "restarted")


@dataclass
class Score:
    """Sums over days. Pairs of calls: found, true, and both; calls of which something is right."""

    found: int = 0
    true: int = 0
    both: int = 0
    calls: int = 0
    turns: int = 0
    modes: int = 0
    wrong_turns: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def precision(self) -> float:
        return self.both / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.both / self.true if self.true else 1.0


def sight_of(made: Made, call_id: bytes) -> Sight:
    """What the gateway sees of a request."""
    body = json.dumps(made.body, separators=(",", ":")).encode()
    fields = parse_fields(body)
    agent = identify_by_body(identify(made.headers), body, fields)
    return Sight(
        owner=made.owner,
        client=made.headers.get(b"user-agent", b""),
        agent=agent.name,
        claims=read_claims(agent.session, made.headers, fields),
        chain=Chain(made.door, body, fields),
        call_id=call_id,
        now_us=made.at_us,
    )


def assign(day: list[Made], setting: str) -> list[Task]:
    """The task of each request, in this setting."""
    processes = [Tasks(), Tasks()] if setting == "two processes" else [Tasks()]
    ends: list[tuple[int, int]] = []
    found: list[Task] = []
    for number, made in enumerate(day):
        if setting == "restarted" and number == len(day) // 2:
            processes, ends = [Tasks()], []
        while ends and ends[0][0] <= made.at_us:
            _, ended = heapq.heappop(ends)
            _end(processes[ended % len(processes)], ended, day[ended])
        tasks = processes[number % len(processes)]
        found.append(tasks.assign(sight_of(made, number.to_bytes(16, "big"))))
        heapq.heappush(ends, (made.ended_us, number))
    return found


def _end(tasks: Tasks, number: int, made: Made) -> None:
    tasks.ended(
        number.to_bytes(16, "big"),
        made.ended_us,
        error=made.error,
        asked_for_tools=made.asked_for_tools,
        tool=made.tool,
        said=made.said,
    )


def final_ids(found: Iterable[Task]) -> list[bytes]:
    """The ids once everything that was said to be the same is one, as the ledger keeps them."""
    found = list(found)
    same: dict[bytes, bytes] = {}

    def root(one: bytes) -> bytes:
        while one in same:
            one = same[one]
        return one

    for task in found:
        if task.was and root(task.was) != root(task.id):
            same[root(task.was)] = root(task.id)
    return [root(task.id) for task in found]


def score(kind: Kind, setting: str, days: int = DAYS) -> Score:
    """The score of one agent in one setting."""
    total = Score()
    for seed in range(days):
        day = a_day(kind, seed)
        found = assign(day, setting)
        ids = final_ids(found)
        total.found += _pairs(Counter(ids).values())
        total.true += _pairs(Counter(made.task for made in day).values())
        total.both += _pairs(Counter((task, made.task) for task, made in zip(ids, day, strict=True)).values())
        total.calls += len(day)
        for task, made in zip(found, day, strict=True):
            total.turns += task.turn == made.turn
            total.modes += task.mode == made.mode
            if task.turn != made.turn:
                total.wrong_turns[made.turn, task.turn] += 1
    return total


def _pairs(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--agent", default="")
    given = parser.parse_args()
    print(f"{'agent':26}{'calls':>7}  {'setting':15}{'precision':>10}{'recall':>8}{'turn':>8}{'mode':>8}")
    for kind in KINDS:
        if given.agent and kind.agent != given.agent:
            continue
        for setting in SETTINGS:
            one = score(kind, setting, given.days)
            print(
                f"{kind.agent:26}{one.calls:>7}  {setting:15}{one.precision:>10.4f}{one.recall:>8.4f}"
                f"{one.turns / one.calls:>8.3f}{one.modes / one.calls:>8.3f}"
            )
            if given.agent:
                print(f"    turns that were taken for others: {dict(one.wrong_turns)}")


if __name__ == "__main__":
    main()
