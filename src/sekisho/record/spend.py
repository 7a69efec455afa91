"""What was spent: sums over ended calls, by whatever a manager may ask.

Implemented by the store. Times are microseconds since the epoch, money is integer nano-USD. Every sum equals that of
the calls themselves: there is no second truth.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from sekisho.values import Usage

Dimension = Literal["key", "user", "team", "tag", "model", "agent", "mode", "repository"]
Period = Literal["day", "week", "month"]

MOST_PERIODS = 1_000


class SpendQuery(msgspec.Struct, frozen=True):
    """Which calls, and how they are added up: `since` <= start of the call < `until`; None: no bound.

    `by` groups by these; `period` also by calendar days, weeks (from Monday) or months of `time_zone`, and then both
    bounds are needed. `where` keeps the calls with one of these values in each dimension named; a tag is one of the
    call's tags, and "" is the value of a call that has none. A call beside a conversation (a title, a summary) has no
    mode; its repository is the client's claim.
    """

    by: tuple[Dimension, ...] = ()
    period: Period | None = None
    since: int | None = None
    until: int | None = None
    time_zone: str = "UTC"
    where: Mapping[Dimension, tuple[str, ...]] = {}


class Spend(msgspec.Struct, frozen=True):
    """One sum. The fields it is not grouped by are empty; `starts_at` is the first moment of its period.

    `calls` are those that passed the gate, `refused` those that did not; `failed` is a part of `calls`. By tag, a call
    with two tags is in two sums.
    """

    starts_at: int | None = None
    key_id: str = ""
    user_id: str = ""
    team_id: str = ""
    tag: str = ""
    model: str = ""
    agent: str = ""
    mode: str = ""
    repository: str = ""
    calls: int = 0
    failed: int = 0
    refused: int = 0
    usage: Usage = Usage()
    list_cost_nanousd: int = 0
    cost_nanousd: int = 0


class SpendQueries(Protocol):
    """Sums within one organisation."""

    async def spend(self, org_id: str, query: SpendQuery) -> list[Spend]:
        """By period, then dearest first. Without groups exactly one sum; groups without any call are left out.

        Raises BadRequest for an unknown time zone, a period without bounds, more than MOST_PERIODS periods."""
        ...
