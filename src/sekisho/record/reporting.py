"""How figures are shown to people: yen by dated rates, what an engineer is expected to cost, whether people are named.

Data that the operator sets. Dollars stay the only truth: a rate changes what is shown, never what is booked.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Protocol

import msgspec

from sekisho.clock import Clock
from sekisho.errors import BadRequest

MOST_RATES = 500
_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_NANO = 1_000_000_000


class Rate(msgspec.Struct, frozen=True):
    """Yen for one US dollar from a day on (YYYY-MM-DD), until the day of the next rate."""

    day: str
    jpy_per_usd: str


class Reporting(msgspec.Struct, frozen=True):
    """`rates` by day. The band: what one engineer is expected to cost in a month, in nano-USD. `names_people`: whether
    reports may put people in an order of cost."""

    rates: tuple[Rate, ...] = ()
    band_low_nanousd: int = 500 * _NANO
    band_high_nanousd: int = 1_000 * _NANO
    names_people: bool = False

    def rate_on(self, day: date) -> Rate | None:
        """The rate in force on a day; None before the first."""
        text = day.isoformat()
        return max((rate for rate in self.rates if rate.day <= text), key=lambda rate: rate.day, default=None)


def yen(nanousd: int, rate: Rate) -> int:
    """Whole yen, half up."""
    exact = Decimal(nanousd).scaleb(-9) * Decimal(rate.jpy_per_usd)
    return int(exact.quantize(Decimal(1), "ROUND_HALF_UP"))


class ReportingStore(Protocol):
    """Where the setting is kept. Raises StoreUnavailable."""

    async def reporting(self, org_id: str) -> Reporting: ...

    async def set_reporting(self, org_id: str, reporting: Reporting, by: str, now_us: int) -> None: ...


class ReportingRegister:
    """Reads and sets how figures are shown in one organisation."""

    def __init__(self, store: ReportingStore, org_id: str, clock: Clock) -> None:
        self._store = store
        self._org_id = org_id
        self._clock = clock

    async def get(self) -> Reporting:
        """How figures are shown now."""
        return await self._store.reporting(self._org_id)

    async def set(self, reporting: Reporting, by: str) -> None:
        """Show them so from now on. Raises BadRequest."""
        check_rates(reporting.rates)
        if not 0 <= reporting.band_low_nanousd <= reporting.band_high_nanousd:
            raise BadRequest("The band begins at or below its end.", param="band_low_usd")
        rates = tuple(sorted(reporting.rates, key=lambda rate: rate.day))
        kept = msgspec.structs.replace(reporting, rates=rates)
        await self._store.set_reporting(self._org_id, kept, by, self._clock.now_us())


def check_rates(rates: Sequence[Rate]) -> None:
    """Raises BadRequest for rates that cannot be."""
    if len(rates) > MOST_RATES or len({rate.day for rate in rates}) < len(rates):
        raise BadRequest(f"State at most {MOST_RATES} rates, one for a day.", param="rates")
    for rate in rates:
        try:
            date.fromisoformat(rate.day)
        except ValueError as error:
            raise BadRequest("The day of a rate looks like 2026-01-31.", param="rates") from error
        if not _RATE.fullmatch(rate.jpy_per_usd) or not Decimal(rate.jpy_per_usd):
            raise BadRequest('A rate is a decimal such as "156.20".', param="rates")
