"""The most a call can cost, known before it is sent: what a hard budget must be able to hold.

It rests on one assumption: a prompt has no more tokens than its body has bytes, plus what the provider adds. The
exceptions are named in `prompt_tokens_bound`. An answer that costs more than its bound is a fault to be reported, not
clipped.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from sekisho.ledger.cost import PICO_PER_NANO
from sekisho.values import Price, TokenPrices

# What the provider adds to a prompt: its own tool instructions (up to about 700 tokens on Claude), role marks.
OVERHEAD_TOKENS = 1000
# A picture that compresses well has fewer bytes than tokens. Claude counts up to about 4,800 tokens for one.
IMAGE_TOKENS = 5000
_NEVER = 1 << 62


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
    one = PriceBounds([price]).nanousd(prompt_tokens_max, max_output_tokens, longest_ttl == "1h", 1)
    return attempts * one


class PriceBounds:
    """`bound_nanousd` of tries at several prices, none of them twice, with what does not depend on the call worked out
    once."""

    __slots__ = ("_base", "_steps", "_steps_above")

    def __init__(self, prices: Iterable[Price]) -> None:
        levels = [[(-1, one.base), *((step.above_tokens, step.prices) for step in one.steps)] for one in prices]
        self._steps = [[(above, *_dearest(prices)) for above, prices in one] for one in levels]
        self._base = [_dearest(one[0][1]) for one in levels]
        self._steps_above = min((above for one in levels for above, _ in one[1:]), default=_NEVER)

    def nanousd(self, prompt_tokens_max: int, max_output_tokens: int, is_long_ttl: bool, attempts: int) -> int:
        """The most that so many tries can cost: the dearest.

        `is_long_ttl`: something in the body may ask for an hour of caching."""
        place = 1 if is_long_ttl else 0
        if prompt_tokens_max <= self._steps_above and len(self._base) <= attempts:  # nearly every call
            sum_nanousd = 0
            for one in self._base:
                sum_nanousd -= -(prompt_tokens_max * one[place] + max_output_tokens * one[2]) // PICO_PER_NANO
            return sum_nanousd
        if prompt_tokens_max <= self._steps_above:
            costs = [prompt_tokens_max * one[place] + max_output_tokens * one[2] for one in self._base]
        else:
            costs = [
                max(
                    prompt_tokens_max * step[place + 1] + max_output_tokens * step[3]
                    for step in steps
                    if prompt_tokens_max > step[0]
                )
                for steps in self._steps
            ]
        if len(costs) > attempts:
            costs.sort(reverse=True)
            del costs[attempts:]
        return sum([-(-cost // PICO_PER_NANO) for cost in costs])


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


def _dearest(prices: TokenPrices) -> tuple[int, int, int]:
    """The price of the dearest class of prompt tokens, without and with an hour of caching, and that of output."""
    dearest = max(prices.input, prices.cache_read, prices.cache_write_5m)
    return dearest, max(dearest, prices.cache_write_1h), prices.output
