"""Exact money. The oracle is exact fractions, and figures worked out by hand from the published prices per million."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.ledger.catalog import load_catalog
from sekisho.ledger.cost import list_cost_nanousd, prices_at
from sekisho.values import Price, PriceStep, TokenPrices, Usage

counts = st.integers(0, 2_000_000)
usages = st.builds(Usage, counts, counts, counts, counts, counts, st.just(0))
amounts = st.integers(0, 200_000_000)
token_prices = st.builds(TokenPrices, amounts, amounts, amounts, amounts, amounts)


@st.composite
def price_lists(draw: st.DrawFn) -> Price:
    thresholds = sorted(draw(st.sets(st.integers(1, 4_000_000), max_size=3)))
    return Price("test", "us", draw(token_prices), tuple(PriceStep(at, draw(token_prices)) for at in thresholds))


def exact_usd(usage: Usage, price: Price) -> Fraction:
    """The cost in USD, in another arithmetic: one fraction per class, the last step that the prompt has passed."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    passed = [step.prices for step in price.steps if step.above_tokens < prompt]
    prices = passed[-1] if passed else price.base
    pairs = [
        (usage.input_tokens, prices.input),
        (usage.cache_read_tokens, prices.cache_read),
        (usage.cache_write_5m_tokens, prices.cache_write_5m),
        (usage.cache_write_1h_tokens, prices.cache_write_1h),
        (usage.output_tokens, prices.output),
    ]
    return sum((Fraction(tokens * pico, 10**12) for tokens, pico in pairs), Fraction(0))


@given(usages, price_lists())
def test_a_cost_is_the_exact_sum_rounded_up_once(usage: Usage, price: Price) -> None:
    cost = list_cost_nanousd(usage, price)
    assert cost == ceil(exact_usd(usage, price) * 10**9)


@given(usages, usages, st.builds(lambda prices: Price("test", "us", prices), token_prices))
def test_more_tokens_never_cost_less(usage: Usage, more: Usage, price: Price) -> None:
    total = Usage(*(getattr(usage, name) + getattr(more, name) for name in Usage.__struct_fields__))
    assert list_cost_nanousd(total, price) >= list_cost_nanousd(usage, price)


def test_reasoning_is_paid_as_the_output_that_it_is_a_part_of() -> None:
    price = Price("test", "us", TokenPrices(1, 1_000_000, 1, 1, 1))
    assert list_cost_nanousd(Usage(output_tokens=100, reasoning_tokens=90), price) == 100_000


def test_nothing_used_costs_nothing() -> None:
    assert list_cost_nanousd(Usage(), Price("test", "us", TokenPrices(1, 1, 1, 1, 1))) == 0


def test_a_pico_usd_left_over_is_rounded_up() -> None:
    assert list_cost_nanousd(Usage(input_tokens=1), Price("test", "us", TokenPrices(1, 0, 0, 0, 0))) == 1


def test_a_step_prices_the_whole_call_and_begins_after_its_threshold() -> None:
    base, above = TokenPrices(1, 2, 3, 4, 5), TokenPrices(10, 20, 30, 40, 50)
    price = Price("test", "us", base, (PriceStep(100, above),))
    assert prices_at(price, 100) is base
    assert prices_at(price, 101) is above


@pytest.mark.parametrize(
    ("id", "usage", "nanousd"),
    [
        # Claude Sonnet 4.5, us.: 3.30 in, 16.50 out, 0.33 read, 4.125 and 6.60 write, per million.
        # 1,000 in = 0.0033; 50,000 read = 0.0165; 2,000 write 5 m = 0.00825; 1,000 write 1 h = 0.0066;
        # 500 out = 0.00825
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Usage(1_000, 50_000, 2_000, 1_000, 500), 42_900_000),
        # The same above 200,000 prompt tokens: 6.60 in, 24.75 out. 200,001 in = 1.3200066; 1,000 out = 0.02475
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Usage(200_001, output_tokens=1_000), 1_344_756_600),
        # and at 200,000 exactly: 3.30 in, 16.50 out. 0.66 + 0.0165
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Usage(200_000, output_tokens=1_000), 676_500_000),
        # Claude Haiku 5.5, global, 150,000 prompt tokens, of which 149,000 read: 0.50 in, 0.05 read, 2.50 out.
        # 1,000 in = 0.0005; 149,000 read = 0.00745; 400 out = 0.001
        ("global.anthropic.claude-haiku-5-5", Usage(1_000, 149_000, output_tokens=400), 8_950_000),
        # Claude 3.7 Sonnet: 3 in, 15 out. 12,345 in = 0.037035; 678 out = 0.01017
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", Usage(12_345, output_tokens=678), 47_205_000),
        # Nova Pro: 0.80 in, 3.20 out, 0.20 read. 1,000 in = 0.0008; 4,000 read = 0.0008; 100 out = 0.00032
        ("amazon.nova-pro-v1:0", Usage(1_000, 4_000, output_tokens=100), 1_920_000),
        # Nova Micro: 0.035 in, 0.00875 read: 1 in + 1 read = 0.00000004375 USD = 43.75 nano-USD
        ("amazon.nova-micro-v1:0", Usage(1, 1), 44),
        # Llama 3.1 70B: 0.72 both ways. 7,777 + 333 = 8,110 tokens = 0.0058392
        ("us.meta.llama3-1-70b-instruct-v1:0", Usage(7_777, output_tokens=333), 5_839_200),
        # GPT-5.4, global, above 272,000: 5 in, 22.50 out, 0.50 read.
        # 272,000 read = 0.136; 1 in = 0.000005; 10 out = 0.000225
        ("global.openai.gpt-5.4", Usage(1, 272_000, output_tokens=10), 136_230_000),
    ],
)
def test_costs_worked_out_by_hand(id: str, usage: Usage, nanousd: int) -> None:
    catalog = load_catalog()
    found = catalog.find(id)
    assert found is not None
    price = catalog.price(found.listed, found.scope)
    assert price is not None
    assert list_cost_nanousd(usage, price) == nanousd
