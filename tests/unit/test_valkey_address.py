"""Where a Valkey is: what its URL may say, and that its password is never shown."""

import pytest

from sekisho.store.counters.valkey_address import ValkeyAddress, parse_valkey_url


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("redis://valkey", ValkeyAddress("valkey", 6379)),
        ("valkey://valkey:7000/3", ValkeyAddress("valkey", 7000, database=3)),
        ("rediss://al%40ce:hu%2Fsh@host", ValkeyAddress("host", 6379, user="al@ce", password="hu/sh", is_tls=True)),
        ("redis://:hush@[::1]:6380/", ValkeyAddress("::1", 6380, password="hush")),
        ("unix:///run/valkey.sock", ValkeyAddress("", 0, path="/run/valkey.sock")),
    ],
)
def test_urls(text: str, address: ValkeyAddress) -> None:
    assert parse_valkey_url(text) == address
    assert "hush" not in repr(address) and "hu/sh" not in f"{address!r} {address.shown}"


@pytest.mark.parametrize(
    "text",
    ["", "valkey:6379", "http://:hush@h", "redis://", "redis://h:x", "redis://h/name", "redis://h/0?hush=1", "unix://"],
)
def test_what_is_no_url_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_valkey_url(text)
    assert "hush" not in str(refused.value)
