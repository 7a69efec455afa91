"""The most a call can cost, known before it is sent: what a hard budget must be able to hold.

It rests on one assumption: a prompt has no more tokens than its body has bytes, plus what the provider adds. The
exceptions are named in `prompt_tokens_bound`. An answer that costs more than its bound is a fault to be reported, not
clipped.
"""

from collections.abc import Callable
from typing import Literal

from sekisho.ledger.cost import PICO_PER_NANO
from sekisho.values import Price, TokenPrices

# What the provider adds to a prompt: its own tool instructions (up to about 700 tokens on Claude), role marks.
OVERHEAD_TOKENS = 1000
# A picture that compresses well has fewer bytes than tokens. Claude counts up to about 4,800 tokens for one.
IMAGE_TOKENS = 5000


def prompt_tokens_bound(
    body_bytes: int, images: int = 0, compressed_documents: int = 0, context_tokens: int = 0
) -> int:
    """The most tokens that a prompt of this size can have.

    `images`: pictures in it. `compressed_documents` (PDF, DOCX, XLSX) may unpack to any size, so with one of them the
    bound is at least `context_tokens`, the largest prompt that the model takes."""
    bound = body_bytes + OVERHEAD_TOKENS + images * IMAGE_TOKENS
    return max(bound, context_tokens) if compressed_documents else bound


def bound_nanousd(
    prompt_tokens_max: int,
    max_output_tokens: int,
    price: Price,
    attempts: int = 1,
    longest_ttl: Literal["5m", "1h"] = "1h",
) -> int:
    """The most that `attempts` tries can cost at this price, each with a prompt of at most `prompt_tokens_max` tokens.

    Every prompt token is priced as its dearest class; `longest_ttl` "5m" says that nothing in the body asks for an hour
    of caching. Every price step that the prompt may reach counts. Unit: nano-USD."""
    return attempts * PriceBound(price).nanousd(prompt_tokens_max, max_output_tokens, longest_ttl == "1h")


class PriceBound:
    """`bound_nanousd` of one price, with what does not depend on the call worked out once."""

    __slots__ = ("_levels",)

    def __init__(self, price: Price) -> None:
        steps = [(-1, price.base), *((step.above_tokens, step.prices) for step in price.steps)]
        self._levels = tuple([(above, _dearest(p, "5m"), _dearest(p, "1h"), p.output) for above, p in steps])

    def nanousd(self, prompt_tokens_max: int, max_output_tokens: int, is_long_ttl: bool) -> int:
        """The most that one try can cost. `is_long_ttl`: something in the body may ask for an hour of caching."""
        most = 0
        for above_tokens, dearest_5m, dearest_1h, output in self._levels:
            if prompt_tokens_max <= above_tokens:
                break  # they rise
            cost = prompt_tokens_max * (dearest_1h if is_long_ttl else dearest_5m) + max_output_tokens * output
            if cost > most:
                most = cost
        return -(-most // PICO_PER_NANO)


def output_tokens_within(
    room_nanousd: int,
    most_output_tokens: int,
    bound: Callable[[int], int],
) -> int:
    """The longest answer, at most `most_output_tokens`, with which `bound`, which never falls, is within the room; 0
    if none is."""
    low, high = 0, most_output_tokens
    while low < high:
        middle = (low + high + 1) // 2
        if bound(middle) <= room_nanousd:
            low = middle
        else:
            high = middle - 1
    return low


def _dearest(prices: TokenPrices, longest_ttl: Literal["5m", "1h"]) -> int:
    """The price of the dearest class of prompt tokens."""
    dearest = max(prices.input, prices.cache_read, prices.cache_write_5m)
    return max(dearest, prices.cache_write_1h) if longest_ttl == "1h" else dearest
