"""The forecast against the statistics it claims to be."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sekisho.record.forecast import forecast

MONDAY = date(2026, 11, 2)


def days(costs: list[int]) -> list[tuple[int, int]]:
    return [((MONDAY + timedelta(days=number)).weekday(), cost) for number, cost in enumerate(costs)]


def test_fewer_than_seven_days_foretell_nothing() -> None:
    assert forecast(5, days([1] * 6), [0, 1]) is None


def test_a_steady_week_goes_on_as_it_was() -> None:
    found = forecast(1_000, days([100, 100, 100, 100, 100, 10, 10] * 3), [0, 4, 5, 6])
    assert found is not None
    assert (found.low_nanousd, found.nanousd, found.high_nanousd) == (1_220, 1_220, 1_220)


def test_the_interval_is_that_of_a_normal_distribution() -> None:
    found = forecast(0, days([90, 100] * 14), [0] * 4)  # every weekday is 95 on average, 5 apart
    assert found is not None
    variance = 28 * 25 / (28 - 7)
    assert found.high_nanousd - found.nanousd == round(1.2815515655446004 * (4 * variance) ** 0.5)
    assert found.nanousd == 380


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**12), min_size=7, max_size=40), st.lists(st.integers(0, 6)))
def test_it_is_never_below_what_is_spent_and_its_parts_are_in_order(
    spent: int, costs: list[int], rest: list[int]
) -> None:
    found = forecast(spent, days(costs), rest)
    assert found is not None
    assert spent <= found.low_nanousd <= found.nanousd + 1
    assert found.nanousd <= found.high_nanousd + 1
