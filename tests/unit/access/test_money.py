"""Dollars to nano-dollars and back, judged by Decimal."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.access.money import MOST_NANOUSD, parse_usd, usd_text
from sekisho.errors import BadRequest


@given(st.integers(0, MOST_NANOUSD))
def test_every_amount_survives_as_text(nanousd):
    assert parse_usd(usd_text(nanousd), "x") == nanousd


@given(st.decimals(0, 9_000_000, places=9))
def test_a_decimal_string_is_exact(dollars):
    assert parse_usd(f"{dollars:f}", "x") == int(dollars * 10**9)


@given(st.integers(0, 9_000_000 * 100).map(lambda cents: cents / 100))
def test_a_json_number_is_the_decimal_that_was_typed(dollars):
    assert parse_usd(dollars, "x") == Decimal(repr(dollars)) * 10**9


@pytest.mark.parametrize("amount", [0.1, "0.1", "0.10", "0.1000000000000000000000"])
def test_a_dime_is_a_dime(amount):
    assert parse_usd(amount, "x") == 100_000_000


@pytest.mark.parametrize(
    "amount",
    [
        *(-1, -0.5, "-1", "+1", "", " 1", "1e3", "1_000", "NaN", float("nan"), float("inf"), "9000000.000000001"),
        *(9_000_001, "0.0000000001", 1e-10, "1." + "0" * 20 + "1", None, True, [], {}, "٣", "1,5", 10**400),
        "9" * 10_000,
    ],
)
def test_what_is_no_amount_is_refused(amount):
    with pytest.raises(BadRequest):
        parse_usd(amount, "x")
