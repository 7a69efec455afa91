"""Texts in the reader's language, and how numbers, money and times are written in it.

Everything is rounded here, for display only, half up.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from markupsafe import Markup

from sekisho.web.console.texts import PAGES, en, ja

Language = Literal["ja", "en"]
CATALOGUES: Mapping[Language, Mapping[str, str]] = {
    "ja": dict(ChainMap(ja.TEXTS, *(page.JA for page in PAGES))),
    "en": dict(ChainMap(en.TEXTS, *(page.EN for page in PAGES))),
}


def choose(cookie: str, accept_language: str) -> Language:
    """The person's choice if there is one, else the first of ja and en that the browser prefers, else English."""
    known: Mapping[str, Language] = {"ja": "ja", "en": "en"}
    if cookie in known:
        return known[cookie]
    weighed = []
    for part in accept_language[:500].split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), tag.lower().split("-")[0]))
        except ValueError:
            continue
    for _, tag in sorted(weighed, key=lambda pair: pair[0]):
        if tag in known:
            return known[tag]
    return "en"


@dataclass(frozen=True, slots=True)
class Words:
    """The texts and number forms of one language in one time zone."""

    language: Language
    zone: ZoneInfo

    def __call__(self, name: str, /, **values: object) -> Markup:
        """The text `name`, with values escaped unless they are Markup already. Raises KeyError for an unknown name."""
        return Markup(CATALOGUES[self.language][name]).format(**values)

    def known(self, name: str, fallback: str) -> Markup:
        """The text `name`, or the fallback, escaped, where there is no such text."""
        return self(name) if name in CATALOGUES[self.language] else Markup.escape(fallback)

    def said(self, name: str, values: Mapping[str, str]) -> Markup:
        """As calling it, for a name and values that come from a cookie: nothing where they fit no text."""
        try:
            return self(name, **values)
        except (KeyError, IndexError):
            return Markup("")

    def counted(self, name: str, n: int) -> Markup:
        """The singular or plural form of a text with a number."""
        return self(f"{name}.one" if n == 1 else f"{name}.other", n=self.count(n))

    def count(self, n: int) -> str:
        return f"{n:,}"

    def tokens(self, n: int) -> str:
        """A token count in four characters or so: 96, 5.3k, 1.2M."""
        if n < 1000:
            return str(n)
        if n < 999_950:
            return f"{_half_up(Decimal(n) / 1000, '0.1')}k"
        return f"{_half_up(Decimal(n) / 1_000_000, '0.1')}M"

    def call_cost(self, nanousd: int) -> str:
        """The cost of one call: four digits."""
        return "<$0.0001" if 0 < nanousd < 50_000 else _dollars(nanousd, "0.0001")

    def sum_cost(self, nanousd: int) -> str:
        """A sum of costs: two digits."""
        return "<$0.01" if 0 < nanousd < 5_000_000 else _dollars(nanousd, "0.01")

    def rounds_apart(self, parts: Iterable[int], total: int) -> bool:
        """Whether parts as `sum_cost` shows them do not add up to the total as it shows it."""
        return sum(_half_up(Decimal(one).scaleb(-9), "0.01") for one in parts) != _half_up(
            Decimal(total).scaleb(-9), "0.01"
        )

    def dollars(self, nanousd: int) -> str:
        """Whole dollars, for what is foretold."""
        return f"${_half_up(Decimal(nanousd).scaleb(-9), '1'):,}"

    def yen(self, whole_yen: int) -> str:
        return f"¥{whole_yen:,}"

    def percent(self, part: int, whole: int, step: str = "0.1") -> str:
        """A share; a dash where there is nothing to share."""
        return f"{_half_up(Decimal(100 * part) / whole, step)} %" if whole else "—"

    def duration(self, us: int) -> str:
        """Milliseconds below 100 ms, then seconds, then minutes and seconds."""
        if us < 100_000:
            return self.milliseconds(us)
        if us < 59_950_000:
            return str(self("duration.s", n=_half_up(Decimal(us) / 1_000_000, "0.1")))
        seconds = int(_half_up(Decimal(us) / 1_000_000, "1"))
        return str(self("duration.min", m=seconds // 60, s=f"{seconds % 60:02d}"))

    def milliseconds(self, us: int) -> str:
        if us < 1_000:
            return f"{_half_up(Decimal(us) / 1000, '0.01')} ms"
        return f"{_half_up(Decimal(us) / 1000, '0.1'):,} ms"

    def clock_time(self, us: int) -> str:
        """Hours, minutes, seconds."""
        return f"{self.moment(us):%H:%M:%S}"

    def date(self, us: int) -> str:
        moment = self.moment(us)
        return f"{moment.month} 月 {moment.day} 日" if self.language == "ja" else f"{moment.day} {moment:%b}"

    def long_date(self, us: int) -> str:
        """Year, month and day."""
        moment = self.moment(us)
        if self.language == "ja":
            return f"{moment.year} 年 {moment.month} 月 {moment.day} 日"
        return f"{moment.day} {moment:%b %Y}"

    def month(self, us: int) -> str:
        """Year and month."""
        moment = self.moment(us)
        return f"{moment.year} 年 {moment.month} 月" if self.language == "ja" else f"{moment:%B %Y}"

    def minute(self, us: int) -> str:
        """Date, hours and minutes."""
        moment = self.moment(us)
        if self.language == "ja":
            return f"{moment.month} 月 {moment.day} 日 {moment:%H:%M}"
        return f"{moment.day} {moment:%b}, {moment:%H:%M}"

    @property
    def zone_name(self) -> str:
        """The zone as the reader calls it."""
        return str(self.known(f"zone.{self.zone.key}", self.zone.key))

    def day(self, text: str) -> str:
        """A date written as year-month-day, as the reader writes it; anything else as it is."""
        try:
            moment = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            return text
        return Words(self.language, ZoneInfo("UTC")).long_date(int(moment.timestamp()) * 1_000_000)

    def in_zone(self, zone: ZoneInfo) -> "Words":
        """The same language in another time zone: for books that are kept there."""
        return Words(self.language, zone)

    def full_time(self, us: int) -> str:
        """Date and time with milliseconds."""
        moment = self.moment(us)
        time = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
        if self.language == "ja":
            return f"{moment.year} 年 {moment.month} 月 {moment.day} 日 {time}"
        return f"{moment.day} {moment:%b %Y}, {time}"

    def iso_time(self, us: int) -> str:
        return self.moment(us).isoformat(timespec="milliseconds")

    def moment(self, us: int) -> datetime:
        return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000).astimezone(self.zone)


def _dollars(nanousd: int, step: str) -> str:
    return f"{'−' if nanousd < 0 else ''}${_half_up(Decimal(abs(nanousd)).scaleb(-9), step):,}"


def _half_up(number: Decimal, step: str) -> Decimal:
    return number.quantize(Decimal(step), ROUND_HALF_UP)
