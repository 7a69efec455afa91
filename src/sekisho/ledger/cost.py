"""What an answer costs, exactly: whole pico-USD summed over the classes of tokens, rounded up once to nano-USD."""

from sekisho.values import Price, TokenPrices, Usage

PICO_PER_NANO = 1000


def prices_at(price: Price, prompt_tokens: int) -> TokenPrices:
    """The prices of a call whose prompt has this many tokens, cached ones included. A step prices the whole call."""
    prices = price.base
    for step in price.steps:
        if prompt_tokens > step.above_tokens:
            prices = step.prices
    return prices


def list_cost_nanousd(usage: Usage, price: Price) -> int:
    """The list price of one answer. Unit: nano-USD, rounded up. Reasoning is a part of the output."""
    prices = prices_at(price, usage.prompt_tokens) if price.steps else price.base
    pico_usd = (
        usage.input_tokens * prices.input
        + usage.cache_read_tokens * prices.cache_read
        + usage.cache_write_5m_tokens * prices.cache_write_5m
        + usage.cache_write_1h_tokens * prices.cache_write_1h
        + usage.output_tokens * prices.output
    )
    return -(-pico_usd // PICO_PER_NANO)


def class_costs_nanousd(usage: Usage, price: Price) -> tuple[int, int, int, int]:
    """The list price of one answer by class: fresh input, cache reads, cache writes, output. Unit: nano-USD.

    Rounded so that the sum is `list_cost_nanousd`: each class takes the whole nano-dollars that the sum grows by with
    it."""
    prices = prices_at(price, usage.prompt_tokens) if price.steps else price.base
    fresh = usage.input_tokens * prices.input
    if not (usage.cache_read_tokens or usage.cache_write_5m_tokens or usage.cache_write_1h_tokens):
        whole = -(-(fresh + usage.output_tokens * prices.output) // PICO_PER_NANO)
        fresh = -(-fresh // PICO_PER_NANO)
        return (fresh, 0, 0, whole - fresh)
    read = fresh + usage.cache_read_tokens * prices.cache_read
    written = read + usage.cache_write_5m_tokens * prices.cache_write_5m
    written += usage.cache_write_1h_tokens * prices.cache_write_1h
    whole = -(-(written + usage.output_tokens * prices.output) // PICO_PER_NANO)
    fresh, read, written = -(-fresh // PICO_PER_NANO), -(-read // PICO_PER_NANO), -(-written // PICO_PER_NANO)
    return (fresh, read - fresh, written - read, whole - written)
