"""Windows of budgets, judged minute by minute against the calendar itself."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.errors import BadRequest
from sekisho.ledger.windows import check_window, span_at
from sekisho.values import Window

ZONES = (
    "Asia/Tokyo",
    "UTC",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",  # midnights were skipped here
    "America/Havana",  # and come twice here
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Pacific/Apia",  # a whole day is missing
)
FIRST, LAST = (int(datetime(year, 1, 3, tzinfo=UTC).timestamp()) for year in (2005, 2030))
MOMENTS = st.integers(FIRST, LAST).map(lambda second: second * 1_000_000)


def label(kind: str, zone: str, at_us: int) -> tuple[int, ...]:
    """The calendar's own name of the window that holds a time."""
    local = datetime.fromtimestamp(at_us / 1e6, ZoneInfo(zone))
    if kind == "week":
        return tuple(local.isocalendar()[:2])
    return (local.year, local.month, local.day) if kind == "day" else (local.year, local.month)


@given(st.sampled_from(("day", "week", "month")), st.sampled_from(ZONES), MOMENTS)
def test_a_window_is_all_of_one_calendar_unit_and_nothing_else(kind, zone, at_us):
    span = span_at(Window(kind, zone), at_us)
    assert span is not None and span.holds(at_us)
    name = label(kind, zone, at_us)
    assert label(kind, zone, span.starts_at) == name == label(kind, zone, span.ends_at - 1_000_000)
    assert label(kind, zone, span.ends_at) != name


@given(st.sampled_from(("day", "week", "month")), st.sampled_from(ZONES), MOMENTS)
def test_windows_follow_each_other_without_gap(kind, zone, at_us):
    window = Window(kind, zone)
    span = span_at(window, at_us)
    following = span_at(window, span.ends_at)
    assert following.starts_at == span.ends_at
    assert span_at(window, span.starts_at) == span


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/London", "2026-03-29T12:00:00+00:00", 23),
        ("Europe/London", "2026-10-25T12:00:00+00:00", 25),
        ("America/Sao_Paulo", "2018-11-04T15:00:00+00:00", 23),
        ("America/Havana", "2026-11-01T17:00:00+00:00", 25),
        ("Asia/Tokyo", "2026-03-29T12:00:00+00:00", 24),
        ("America/Toronto", "1919-03-31T12:00:00+00:00", 23.5),  # from 23:30 to 00:30: midnight lies in the gap
    ],
)
def test_days_of_daylight_saving_have_their_own_length(zone, day, hours):
    span = span_at(Window("day", zone), int(datetime.fromisoformat(day).timestamp()) * 1_000_000)
    assert (span.ends_at - span.starts_at) / 3_600_000_000 == hours


def test_a_fixed_window_is_itself_and_nothing_outside():
    window = Window("fixed", starts_at=10, ends_at=20)
    assert [span_at(window, at) is not None for at in (9, 10, 19, 20)] == [False, True, True, False]


@given(st.integers(1, 10**8), st.integers(0, 10**15), st.integers(0, 10**16))
def test_periods_repeat_from_their_anchor(period_s, anchor, at_us):
    span = span_at(Window("period", period_s=period_s, starts_at=anchor), at_us)
    assert span.holds(at_us) and span.ends_at - span.starts_at == period_s * 1_000_000
    assert (span.starts_at - anchor) % (period_s * 1_000_000) == 0


@pytest.mark.parametrize(
    "window",
    [
        Window("day", "Mars/Olympus"),
        Window("day", "../etc/passwd"),
        Window("period"),
        Window("fixed", starts_at=5, ends_at=5),
    ],
)
def test_a_window_that_cannot_be_is_refused(window):
    with pytest.raises(BadRequest):
        check_window(window)
