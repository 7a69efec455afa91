"""What will be spent by the end of a period, from what was spent day by day. Pure; money is integer nano-USD.

Each day to come is expected to cost what the same day of the week cost on average in the days known; the days vary as
they did around those averages, each for itself. So the interval widens with every day, and not with the square of days.
"""

import statistics
from collections.abc import Sequence
from math import sqrt

import msgspec

LEAST_DAYS = 7  # with fewer days known nothing is foretold
_EIGHTY_PERCENT = 1.2815515655446004  # the normal distribution's quantile of 90 %


class Forecast(msgspec.Struct, frozen=True):
    """The expected sum, and the interval that holds it four times out of five. Never below what is spent already."""

    low_nanousd: int
    nanousd: int
    high_nanousd: int


def forecast(spent_nanousd: int, known: Sequence[tuple[int, int]], days_to_come: Sequence[int]) -> Forecast | None:
    """`known`: day of the week (0: Monday) and cost of whole days, any order; `days_to_come`: days of the week. None
    while too few days are known."""
    if len(known) < LEAST_DAYS:
        return None
    by_day: dict[int, list[int]] = {}
    for weekday, cost in known:
        by_day.setdefault(weekday, []).append(cost)
    overall = statistics.fmean(cost for _, cost in known)
    means = {weekday: statistics.fmean(costs) for weekday, costs in by_day.items()}
    residuals = [cost - means[weekday] for weekday, cost in known]
    freedom = max(1, len(known) - len(means))
    variance = sum(residual * residual for residual in residuals) / freedom
    rest = sum(means.get(weekday, overall) for weekday in days_to_come)
    reach = _EIGHTY_PERCENT * sqrt(variance * len(days_to_come))
    expected = spent_nanousd + round(rest)
    return Forecast(max(spent_nanousd, round(spent_nanousd + rest - reach)), expected, round(expected + reach))
