"""US dollars as people and clients write them, and the integer nano-USD that we count in. No floating point between."""

import re
from decimal import Context, Decimal

from sekisho.errors import BadRequest

NANO = 1_000_000_000
MOST_NANOUSD = 9_000_000 * NANO  # counters hold integers below 2**53

_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?")


def parse_usd(amount: object, param: str) -> int:
    """Nano-USD of a JSON number or a decimal string. A number counts as the shortest decimal that means it.

    Raises BadRequest for what is negative, not finite, finer than a nano-dollar or more than 9,000,000 USD.
    """
    if isinstance(amount, str) and not _PLAIN.fullmatch(amount):
        raise BadRequest('An amount is a number of US dollars, such as 10 or "10.50".', param=param)
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        raise BadRequest("An amount is a number of US dollars.", param=param)
    if isinstance(amount, int):
        amount = min(max(amount, -1), MOST_NANOUSD)  # so that a number of a million digits costs nothing
    dollars = Decimal(repr(amount) if isinstance(amount, float) else amount)
    if not dollars.is_finite() or dollars < 0:
        raise BadRequest("An amount is a number of US dollars, not less than 0.", param=param)
    if dollars > MOST_NANOUSD // NANO:
        raise BadRequest("An amount is at most 9,000,000 USD.", param=param)
    nanousd = dollars.scaleb(9, Context(prec=60))  # exact
    if nanousd != nanousd.to_integral_value():
        raise BadRequest("An amount has at most nine digits after the point.", param=param)
    return int(nanousd)


def usd_text(nanousd: int) -> str:
    """Exact dollars, without needless zeros: "10.5"."""
    whole, rest = divmod(abs(nanousd), NANO)
    text = f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
    return f"-{text}" if nanousd < 0 else text
