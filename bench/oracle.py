"""The ledger held against what the upstream said: the catalog's prices as decimals, none of our arithmetic."""

import json
from collections import Counter
from decimal import ROUND_CEILING, Decimal
from importlib import resources
from typing import Any

from bench.peers.peer import BEDROCK_MODEL
from bench.peers.sekisho import CACHE_READ, PRICES
from bench.said import Said, Wire, said

_NANO = Decimal("0.000000001")


def parse(content: bytes) -> "Counter[tuple[Wire, int]]":
    """What `GET /said` answers."""
    return Counter({(wire, kind): count for wire, kind, count in json.loads(content)})


def compare(given: "Counter[tuple[Wire, int]]", ledger_usd: str) -> dict[str, Any]:
    """Dollars as text. Each call's cost is rounded up to a whole nano-USD, as the ledger says it does."""
    expected = sum((_cost(wire, kind) * count for (wire, kind), count in given.items()), Decimal(0))
    error = Decimal(ledger_usd) - expected
    return {
        "calls": given.total(),
        "upstream_usd": f"{expected:f}",
        "ledger_usd": ledger_usd,
        "error_usd": f"{error:f}",
    }


def _cost(wire: Wire, kind: int) -> Decimal:
    prices = _chat_prices() if wire == "openai_chat" else _bedrock_prices()
    usd = sum((tokens * price for tokens, price in zip(said(kind, wire), prices, strict=True)), Decimal(0))
    return usd.quantize(_NANO, ROUND_CEILING)


def _chat_prices() -> tuple[Decimal, ...]:
    fresh, output = (Decimal(PRICES[f"{name}_cost_per_token"]) for name in ("input", "output"))
    return tuple(Said(fresh, Decimal(CACHE_READ), fresh, output))  # type: ignore[arg-type]


def _bedrock_prices() -> tuple[Decimal, ...]:
    scope, _, model_id = BEDROCK_MODEL.partition(".")
    for file in resources.files("sekisho.ledger").joinpath("catalog_data").iterdir():
        if file.name.endswith(".json"):
            for model in json.loads(file.read_text(), parse_float=Decimal)["models"]:
                if model["id"] == model_id:
                    listed = model["prices"][scope]
                    names = ("input", "cache_read", "cache_write_5m", "output")
                    return tuple(Decimal(listed[name]) / 10**6 for name in names)
    raise LookupError(BEDROCK_MODEL)
