"""Budgets and people drawn as SVG marks: numbers in, numbers out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from sekisho.record.forecast import Forecast
from sekisho.web.console.language import Words

SCALE = 1.36  # a bar reaches this many times its limit, so that the posts of all bars stand in one line
Standing = Literal["fits", "near", "over", "spent", "none"]


@dataclass(frozen=True, slots=True)
class BudgetBar:
    """Places in per cent of the bar's width. `ink`: how the whisker is drawn; `forecast` may be None."""

    limit: float
    spent: float
    reserved: float
    low: float
    forecast: float | None
    high: float
    ink: Literal["ink2", "care", "stop"]
    is_refusing: bool
    sentence: Markup


def standing_of(amount: int | None, spent: int, reserved: int, outlook: Forecast | None) -> Standing:
    """How a budget does: used up, expected to be passed, perhaps passed, or fine; "none" without one."""
    if amount is None:
        return "none"
    if spent + reserved >= amount:
        return "spent"
    if outlook is None or outlook.high_nanousd <= amount:
        return "fits"
    return "over" if outlook.nanousd > amount else "near"


def budget_bar(
    amount: int, spent: int, reserved: int, outlook: Forecast | None, words: Words, scale: float = SCALE
) -> BudgetBar:
    """A budget as a bar with its limit as a post."""

    def at(value: int) -> float:
        return round(min(100.0, max(0.0, 100 * value / (amount * scale))), 2) if amount else 0.0

    standing = standing_of(amount, spent, reserved, outlook)
    inks: dict[Standing, Literal["ink2", "care", "stop"]] = {"near": "care", "over": "stop"}
    return BudgetBar(
        limit=round(100 / scale, 2),
        spent=at(spent),
        reserved=round(max(at(spent + reserved) - at(spent), 0.7), 2) if reserved else 0.0,
        low=at(outlook.low_nanousd) if outlook else 0.0,
        forecast=at(outlook.nanousd) if outlook else None,
        high=at(outlook.high_nanousd) if outlook else 0.0,
        ink=inks.get(standing, "ink2"),
        is_refusing=standing == "spent",
        sentence=words(
            "bar.sentence",
            amount=words.sum_cost(amount),
            spent=words.sum_cost(spent),
            reserved=words.sum_cost(reserved),
            room=words.sum_cost(max(0, amount - spent - reserved)),
        ),
    )


@dataclass(frozen=True, slots=True)
class Dots:
    """People as dots over a scale of money: places in a picture 316 wide and 176 to its base."""

    dots: tuple[tuple[float, float], ...]
    ticks: tuple[tuple[float, int], ...]
    band: tuple[float, float]
    p50: float
    p90: float
    within: int
    below: int
    above: int


def dots_of(people: Sequence[int], band: tuple[int, int]) -> Dots:
    """A dot for each amount, piled up where they are alike; half a day's work apart is one pile."""
    top = max([band[1], *people, 1]) * 1.08
    left, width, base, step = 14.0, 288.0, 163.0, 21.0

    def at(value: float) -> float:
        return round(left + width * value / top, 1)

    piles: dict[int, int] = {}
    dots = []
    high = max(1, _tallest(people, top))
    rise = min(step, 130.0 / high)
    for value in sorted(people):
        pile = int(width * value / top // 19)
        dots.append((round(left + pile * 19 + 9.5, 1), round(base - rise * piles.get(pile, 0), 1)))
        piles[pile] = piles.get(pile, 0) + 1
    return Dots(
        dots=tuple(dots),
        ticks=tuple((at(amount), amount) for amount in range(0, int(top) + 1, _step(top / 4))),
        band=(at(band[0]), round(at(band[1]) - at(band[0]), 1)),
        p50=at(percentile(people, 50)),
        p90=at(percentile(people, 90)),
        within=sum(band[0] <= value <= band[1] for value in people),
        below=sum(value < band[0] for value in people),
        above=sum(value > band[1] for value in people),
    )


def _step(least: float) -> int:
    """The smallest of 1, 2.5 and 5 times a power of ten dollars that is not below `least`."""
    step = 10**9
    while step < least:
        step = step * 5 // 2 if str(step)[0] == "1" else step * 2
    return step


def _tallest(people: Sequence[int], top: float) -> int:
    piles: dict[int, int] = {}
    for value in people:
        pile = int(288.0 * value / top // 19)
        piles[pile] = piles.get(pile, 0) + 1
    return max(piles.values(), default=0)


def percentile(values: Sequence[int], percent: int) -> int:
    """The least value that so many per cent do not pass (nearest rank); 0 for none."""
    ordered = sorted(values)
    if not ordered:
        return 0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
