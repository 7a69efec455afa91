"""Yen by dated rates."""

from datetime import date

import pytest

from sekisho.errors import BadRequest
from sekisho.record.reporting import Rate, Reporting, check_rates, yen

RATES = (Rate("2026-10-01", "150"), Rate("2026-11-19", "156.20"))


@pytest.mark.parametrize(
    ("day", "rate"),
    [
        ("2026-09-30", None),
        ("2026-10-01", "150"),
        ("2026-11-18", "150"),
        ("2026-11-19", "156.20"),
        ("2030-01-01", "156.20"),
    ],
)
def test_the_rate_of_a_day_is_the_newest_before_it(day: str, rate: str | None) -> None:
    found = Reporting(RATES).rate_on(date.fromisoformat(day))
    assert (found.jpy_per_usd if found else None) == rate


def test_yen_are_whole_and_rounded_half_up() -> None:
    assert yen(3_901_300_000_000, RATES[1]) == 609_383
    assert yen(1_000_000_000, Rate("2026-01-01", "0.5")) == 1
    assert yen(0, RATES[1]) == 0


@pytest.mark.parametrize(
    "rates",
    [(Rate("tomorrow", "1"),), (Rate("2026-01-01", "0"),), (Rate("2026-01-01", "1,5"),), (RATES[0], RATES[0])],
)
def test_rates_that_cannot_be_are_refused(rates: tuple[Rate, ...]) -> None:
    with pytest.raises(BadRequest):
        check_rates(rates)
