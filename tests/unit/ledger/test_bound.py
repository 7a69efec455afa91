"""The bound of a call: never below what the call can cost, and no wider than it says."""

from hypothesis import given
from hypothesis import strategies as st

from sekisho.ledger.bound import IMAGE_TOKENS, OVERHEAD_TOKENS, PriceBounds, bound_nanousd, prompt_tokens_bound
from sekisho.ledger.cost import list_cost_nanousd
from sekisho.values import Price, PriceStep, TokenPrices, Usage
from tests.unit.ledger.test_cost import price_lists, usages

SONNET = Price("test", "us", TokenPrices(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000))
STEPPED = Price("test", "us", SONNET.base, (PriceStep(200_000, TokenPrices(6_000_000, 22_500_000, 1, 1, 1)),))


@given(usages, price_lists(), st.integers(0, 1000), st.integers(0, 1000))
def test_no_usage_within_the_bounds_costs_more_than_the_bound(
    usage: Usage, price: Price, spare_prompt: int, spare_output: int
) -> None:
    bound = bound_nanousd(usage.prompt_tokens + spare_prompt, usage.output_tokens + spare_output, price)
    assert list_cost_nanousd(usage, price) <= bound


@given(st.lists(usages, min_size=1, max_size=4), price_lists())
def test_attempts_that_are_all_billed_stay_within_the_bound(attempts: list[Usage], price: Price) -> None:
    prompt = max(usage.prompt_tokens for usage in attempts)
    output = max(usage.output_tokens for usage in attempts)
    total = sum(list_cost_nanousd(usage, price) for usage in attempts)
    assert total <= bound_nanousd(prompt, output, price, attempts=len(attempts))


@given(usages, price_lists())
def test_without_hour_long_writes_the_bound_still_holds(usage: Usage, price: Price) -> None:
    short = Usage(usage.input_tokens, usage.cache_read_tokens, usage.cache_write_5m_tokens, 0, usage.output_tokens)
    bound = bound_nanousd(short.prompt_tokens, short.output_tokens, price, longest_ttl="5m")
    assert list_cost_nanousd(short, price) <= bound


@given(price_lists(), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_longer_prompt_or_answer_never_has_a_smaller_bound(
    price: Price, prompt: int, output: int, more_prompt: int, more_output: int
) -> None:
    assert bound_nanousd(prompt, output, price) <= bound_nanousd(prompt + more_prompt, output + more_output, price)


@given(
    st.lists(price_lists(), min_size=1, max_size=4), st.integers(0, 5 * 10**6), st.integers(0, 10**6), st.integers(1, 4)
)
def test_of_several_deployments_the_dearest_count_none_of_them_twice(
    prices: list[Price], prompt: int, output: int, attempts: int
) -> None:
    for ttl in ("5m", "1h"):
        bounds = sorted(bound_nanousd(prompt, output, price, longest_ttl=ttl) for price in prices)
        assert PriceBounds(prices).nanousd(prompt, output, ttl == "1h", attempts) == sum(bounds[-attempts:])


def test_a_bound_worked_out_by_hand() -> None:
    # 10,000 prompt tokens at 6 USD per million (1 h write) and 4,000 output tokens at 15: 0.06 + 0.06
    assert bound_nanousd(10_000, 4_000, SONNET) == 120_000_000
    # at 3.75 (5 m write): 0.0375 + 0.06
    assert bound_nanousd(10_000, 4_000, SONNET, longest_ttl="5m") == 97_500_000
    assert bound_nanousd(10_000, 4_000, SONNET, attempts=3) == 360_000_000


def test_a_step_counts_from_the_first_token_above_it() -> None:
    assert bound_nanousd(200_000, 0, STEPPED) == 1_200_000_000
    assert bound_nanousd(200_001, 1_000, STEPPED) == 200_001 * 6_000 + 22_500_000


def test_a_prompt_has_at_most_as_many_tokens_as_bytes_and_what_the_provider_adds() -> None:
    assert prompt_tokens_bound(5_000) == 5_000 + OVERHEAD_TOKENS
    assert prompt_tokens_bound(5_000, images=2) == 5_000 + OVERHEAD_TOKENS + 2 * IMAGE_TOKENS


def test_a_document_that_can_unpack_may_fill_the_models_context() -> None:
    assert prompt_tokens_bound(5_000, compressed_documents=1, context_tokens=200_000) == 200_000
    assert prompt_tokens_bound(900_000, compressed_documents=1, context_tokens=200_000) == 900_000 + OVERHEAD_TOKENS
    assert prompt_tokens_bound(5_000, context_tokens=200_000) == 5_000 + OVERHEAD_TOKENS
