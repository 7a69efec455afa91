"""What the ledger has booked on each budget: what counters are loaded with.

Above: the control plane's socket, which hands it to call processes. Below: the store. Money is integer nano-USD.
"""

import re
from typing import Protocol

import msgspec

from sekisho.ledger.counters import JournalPosition, OpenCall, Spent
from sekisho.values import Budget

_SEGMENT = re.compile(r"(?P<process>.+)-(?P<number>\d+)\.log")


class Booked(msgspec.Struct, frozen=True):
    """One state of the ledger: `spent` of each budget in its window at `at_us`, credits not deducted, and how far into
    each journal segment the sums reach (`offsets`, by segment name).

    A segment of a living process that is missing here was booked whole if the process has rotated away from it, and
    not at all if it is new. A budget outside its fixed window is left out. `open_calls`: what the sums do not hold yet.
    `ended`: processes whose journals are booked whole, what they left open at its bound.
    """

    at_us: int
    spent: tuple[Spent, ...]
    offsets: dict[str, int]
    open_calls: tuple[OpenCall, ...] = ()
    ended: tuple[str, ...] = ()

    def positions(self) -> dict[str, JournalPosition | None]:
        """How far the journal of each process is booked; None for one that has ended. A later segment is begun only
        when the ones before it are whole, so the last segment that is named at all says it."""
        found: dict[str, JournalPosition | None] = {}
        for name, offset in self.offsets.items():
            if segment := _SEGMENT.fullmatch(name):
                position = (int(segment["number"]), offset)
                found[segment["process"]] = max(found.get(segment["process"]) or (0, 0), position)
        return found | dict.fromkeys(self.ended)


class SpentQueries(Protocol):
    """Sums of settled calls by scope, model and window. A call counts in the window in which it started."""

    async def spent(self, org_id: str, budgets: tuple[Budget, ...], at_us: int) -> tuple[Spent, ...]:
        """What these budgets have spent in their windows at this time."""
        ...

    async def open_calls(self, org_id: str) -> tuple[OpenCall, ...]:
        """The calls that were opened and not settled, and what each holds."""
        ...

    async def booked(self, org_id: str, at_us: int) -> Booked:
        """What every budget in force has spent, in one consistent read with the journal offsets."""
        ...
