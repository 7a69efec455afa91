"""Prices stated in LiteLLM's fields. The oracle is the catalog's own figures and arithmetic by hand."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.config.document import Section
from sekisho.config.prices import stated_price
from sekisho.settings import SettingsError
from sekisho.values import Price, PriceStep, TokenPrices

KNOWN = Price(
    "catalog-1", "us", TokenPrices(10, 20, 30, 40, 50), (PriceStep(200_000, TokenPrices(11, 21, 31, 41, 51)),)
)


def stated(values: dict[str, Any], known: Price | None = None) -> Price | None:
    return stated_price((Section("entry", values, {}),), known, "config-1")[0]


@given(st.integers(0, 10**10))
def test_every_whole_pico_usd_survives_the_way_through_a_decimal_text(pico: int) -> None:
    amount = f"{Decimal(pico).scaleb(-12):f}"
    price = stated({"input_cost_per_token": amount, "output_cost_per_token": Decimal(amount)})
    assert price is not None and (price.base.input, price.base.output) == (pico, pico)


def test_all_of_litellms_fields() -> None:
    price = stated(
        {
            "input_cost_per_token": "3e-06",
            "output_cost_per_token": Decimal("0.000015"),
            "cache_read_input_token_cost": "3e-07",
            "cache_creation_input_token_cost": "3.75e-06",
            "cache_creation_input_token_cost_above_1hr": "6e-06",
            "input_cost_per_token_above_200k_tokens": "6e-06",
            "output_cost_per_token_above_200k_tokens": "22.5e-06",
        }
    )
    base = TokenPrices(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000)
    # what the step does not state stays at the base price
    step = TokenPrices(6_000_000, 22_500_000, 300_000, 3_750_000, 6_000_000)
    assert price == Price("config-1", "stated", base, (PriceStep(200_000, step),))


def test_noise_of_binary_fractions_is_rounded_away() -> None:
    price = stated({"input_cost_per_token": "2.5000000000000002e-07", "output_cost_per_token": 0})
    assert price is not None and price.base.input == 250_000


def test_a_stated_class_replaces_the_known_one_and_leaves_the_rest() -> None:
    price = stated({"output_cost_per_token": "7e-12"}, KNOWN)
    assert price == Price("config-1", "us", TokenPrices(10, 7, 30, 40, 50), KNOWN.steps)


def test_nothing_stated_leaves_the_known_price_as_it_is() -> None:
    assert stated({"rpm": 3}, KNOWN) is KNOWN


def test_half_a_price_is_no_price() -> None:
    assert stated({"input_cost_per_token": "1e-06"}) is None
    assert stated({"cache_read_input_token_cost": "1e-06"}) is None


def test_cached_input_without_a_price_of_its_own_costs_what_input_costs() -> None:
    price = stated({"input_cost_per_token": "2e-12", "output_cost_per_token": "5e-12"})
    assert price is not None and price.base == TokenPrices(2, 5, 2, 2, 2)


def test_the_first_section_that_states_a_class_wins() -> None:
    params = Section("params", {"input_cost_per_token": "1e-12", "output_cost_per_token": "1e-12"}, {})
    info = Section("info", {"input_cost_per_token": "9e-12", "cache_read_input_token_cost": "4e-12"}, {})
    price, is_stated = stated_price((params, info), None, "config-1")
    assert is_stated and price is not None and price.base == TokenPrices(1, 1, 4, 1, 1)
    assert not [*params.unused(), *info.unused()]


@pytest.mark.parametrize("amount", ["-1e-06", "cheap", True, "nan", "inf", [1], "3", "1e-13"])
def test_an_amount_that_cannot_be_a_price_per_token_is_refused(amount: object) -> None:
    with pytest.raises(SettingsError, match="input_cost_per_token"):
        stated({"input_cost_per_token": amount, "output_cost_per_token": 0})
