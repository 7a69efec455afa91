"""How many days are left in a month of the books."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from sekisho.ledger.windows import span_at
from sekisho.values import Usage, Window
from sekisho.web.console.costs import Costs


@pytest.mark.parametrize(
    ("now", "left"),
    [("2026-11-01T00:30", 30), ("2026-10-31T23:30", 1), ("2026-11-30T23:59", 1), ("2026-11-01T23:30", 30)],
)
def test_days_left_are_dates_also_when_clocks_change(now: str, left: int) -> None:
    zone = ZoneInfo("America/New_York")  # whose first of November 2026 has 25 hours
    now_us = int(datetime.fromisoformat(now).replace(tzinfo=zone).timestamp()) * 10**6
    span = span_at(Window("month", zone.key), now_us)
    assert span is not None
    costs = Costs(
        span, zone, now_us, is_now=True, roots=(), spent_nanousd=0, reserved_nanousd=0, open_calls=0, outlook=None,
        days=(), before=(), people={}, models=(), agents=(), modes=(), repositories=(), usage=Usage(), saved_nanousd=0,
    )  # fmt: skip
    assert costs.days_left == left
