"""What the ledger has booked on each budget: what counters are loaded with.

Above: the control plane's socket, which hands it to call processes. Below: the store. Money is integer nano-USD.
"""

from typing import Protocol

import msgspec

from sekisho.ledger.counters import Spent
from sekisho.values import Budget


class Booked(msgspec.Struct, frozen=True):
    """One state of the ledger: `spent` of each budget in its window at `at_us`, credits not deducted, and how far into
    each journal segment the sums reach (`offsets`, by segment name).

    A segment of a living process that is missing here was booked whole if the process has rotated away from it, and
    not at all if it is new. A budget outside its fixed window is left out.
    """

    at_us: int
    spent: tuple[Spent, ...]
    offsets: dict[str, int]


class SpentQueries(Protocol):
    """Sums of settled calls by scope, model and window. A call counts in the window in which it started."""

    async def spent(self, org_id: str, budgets: tuple[Budget, ...], at_us: int) -> tuple[Spent, ...]:
        """What these budgets have spent in their windows at this time."""
        ...

    async def booked(self, org_id: str, at_us: int) -> Booked:
        """What every budget in force has spent, in one consistent read with the journal offsets."""
        ...
