"""Prices that the configuration states, in LiteLLM's fields: USD per token, exact decimals, never floats."""

import re
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from sekisho.config.document import Section
from sekisho.settings import SettingsError
from sekisho.values import Price, PriceStep, TokenPrices

PICO = 10**12
# 10,000 USD per million tokens. More is a price per million in a field that is per token.
MAX_USD_PER_TOKEN = Decimal("0.01")

_FIELDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}
_STEP = re.compile(rf"({'|'.join(_FIELDS)})_above_(\d+)k_tokens")


def stated_price(sections: tuple[Section, ...], known: Price | None, version: str) -> tuple[Price | None, bool]:
    """The price with what these sections state, the first one first, over the known one; and whether they state any.

    None: what is stated does not make a whole price. Raises SettingsError for an amount that cannot be a price."""
    base: dict[str, int] = {}
    steps: dict[int, dict[str, int]] = {}
    for section in sections:
        for key in section.keys():
            step = _STEP.fullmatch(key)
            if key in _FIELDS:
                base.setdefault(_FIELDS[key], _pico_per_token(section, key))
            elif step:
                level = steps.setdefault(int(step[2]) * 1000, {})
                level.setdefault(_FIELDS[step[1]], _pico_per_token(section, key))
    if not base and not steps:
        return known, False
    prices = _complete(base, known.base if known else None)
    if prices is None:
        return None, True
    known_steps = {step.above_tokens: step.prices for step in known.steps} if known else {}
    levels = {
        above: _complete(steps.get(above, {}), known_steps.get(above, prices)) for above in {*steps, *known_steps}
    }
    return Price(
        version=version,
        scope=known.scope if known else "stated",
        base=prices,
        steps=tuple(PriceStep(above, level) for above, level in sorted(levels.items()) if level),
    ), True


def _complete(stated: dict[str, int], known: TokenPrices | None) -> TokenPrices | None:
    """All classes: as stated, else as known, else cached input at the price of input. None without input or output."""
    if known is not None:
        return replace(known, **stated)
    if "input" not in stated or "output" not in stated:
        return None
    write_5m = stated.get("cache_write_5m", stated["input"])
    return TokenPrices(
        input=stated["input"],
        output=stated["output"],
        cache_read=stated.get("cache_read", stated["input"]),
        cache_write_5m=write_5m,
        cache_write_1h=stated.get("cache_write_1h", max(stated["input"], write_5m)),
    )


def _pico_per_token(section: Section, key: str) -> int:
    amount: Any = section.take(key)
    try:
        usd = Decimal(str(amount)) if not isinstance(amount, bool) else Decimal("NaN")
    except ArithmeticError:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise SettingsError([f"{section.path}.{key} must be an amount in USD per token, 0 or more."])
    if usd > MAX_USD_PER_TOKEN:
        raise SettingsError([f"{section.path}.{key} is {usd} USD per token: is it meant per million tokens?"])
    pico = round(usd * PICO)
    if usd and not pico:
        raise SettingsError([f"{section.path}.{key} is smaller than the smallest price, 1e-12 USD per token."])
    return pico
