"""The data files themselves: reviewable, complete, without a single float."""

import json
import re
from decimal import Decimal
from importlib import resources
from typing import Any

import msgspec
import pytest

from sekisho.ledger.catalog import Catalog, CatalogFile, ListPrices, token_prices
from sekisho.values import Quirks

FILES = [
    json.loads(entry.read_bytes())
    for entry in resources.files("sekisho.ledger").joinpath("catalog_data").iterdir()
    if entry.name.endswith(".json")
]
ROWS = [row for file in FILES for row in file["models"]]


def numbers(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in numbers(value)]
    if isinstance(tree, list):
        return [leaf for value in tree for leaf in numbers(value)]
    return [tree]


def test_no_number_in_the_data_is_a_float() -> None:
    assert not [leaf for leaf in numbers(FILES) if isinstance(leaf, float)]


def test_every_price_is_an_exact_decimal_string() -> None:
    for row in ROWS:
        for prices in row["prices"].values():
            amounts = [leaf for key, leaf in prices.items() if key not in ("above", "source")]
            for amount in numbers(amounts):
                assert re.fullmatch(r"\d+(\.\d+)?", amount), (row["id"], amount)


def test_every_row_says_where_and_when_it_was_read() -> None:
    for row in ROWS:
        assert row["source"] and re.fullmatch(r"20\d\d-\d\d-\d\d", row["retrieved"]), row["id"]


def test_every_profile_has_a_price_and_every_price_a_use() -> None:
    for row in ROWS:
        scopes = set(row["prices"])
        assert set(row["profiles"]) <= scopes, row["id"]
        assert scopes <= {*row["profiles"], "in-region", "anthropic-api"}, row["id"]
        assert not row["in_region"] or "in-region" in scopes, row["id"]


def test_every_quirk_is_one_that_the_codecs_know() -> None:
    known = set(Quirks.__struct_fields__)
    for row in ROWS:
        assert set(row["quirks"]) <= known, row["id"]


def test_ids_and_names_are_unique() -> None:
    for field in ("id", "name"):
        values = [row[field] for row in ROWS]
        assert len(values) == len(set(values))


def test_long_context_steps_rise_and_never_get_cheaper() -> None:
    for row in ROWS:
        for prices in row["prices"].values():
            floor, above = Decimal(prices["input"]), 0
            for step in prices.get("above", []):
                assert step["above_tokens"] > above and Decimal(step["input"]) >= floor, row["id"]
                floor, above = Decimal(step["input"]), step["above_tokens"]


@pytest.mark.parametrize("field", ["inputt", "cache_write"])
def test_a_misspelt_price_is_refused(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.json.decode(b'{"input":"1","output":"1","%s":"1"}' % field.encode(), type=ListPrices)


@pytest.mark.parametrize("amount", ["-1", "0.0000001"])
def test_a_price_that_is_no_whole_number_of_pico_usd_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="pico-USD"):
        token_prices(ListPrices(Decimal(amount), Decimal(1)))


def test_a_row_keeps_the_version_of_its_own_file() -> None:
    row = next(row for row in ROWS if row["id"] == "amazon.nova-pro-v1:0")
    old, new = (
        msgspec.convert(
            {
                "schema": "sekisho-catalog/1",
                "version": version,
                "maker": "Test",
                "unit": "USD per 1,000,000 tokens",
                "models": [{**row, "id": f"test.{version}", "name": version, "profiles": [], "end_of_life": ""}],
            },
            CatalogFile,
            strict=False,
        )
        for version in ("2026-01-01", "2026-02-01")
    )
    catalog = Catalog((old, new))
    assert catalog.version == "2026-02-01"
    found = catalog.find("test.2026-01-01")
    assert found is not None
    price = catalog.price(found.listed, "us")
    assert price is not None and price.version == "catalog-2026-01-01"
