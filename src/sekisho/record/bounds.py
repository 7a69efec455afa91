"""How near the bounds of calls are to what the calls cost, by agent and model. Money is integer nano-USD."""

from typing import Protocol

import msgspec


class BoundSum(msgspec.Struct, frozen=True):
    """The metered calls of one agent on one model that ended well. `breaches`: those that cost more than their bound.

    `clamped`: answers made shorter than asked; `stepped_down`: calls sent to this model in place of another."""

    agent: str
    model: str
    calls: int
    reserved_nanousd: int
    cost_nanousd: int
    breaches: int
    clamped: int = 0
    stepped_down: int = 0


class BoundQueries(Protocol):
    """Implemented by the store."""

    async def bounds(self, org_id: str, since: int, until: int) -> list[BoundSum]:
        """Sums over the calls that began in this time, those with the most money reserved first."""
        ...
