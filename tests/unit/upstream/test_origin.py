import pytest

from sekisho.upstream.http1 import Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin", "base", "authority"),
    [
        ("https://a.example", Origin("https", "a.example", 443), "", "a.example"),
        ("https://a.example:443/v1/", Origin("https", "a.example", 443), "/v1", "a.example"),
        ("HTTP://A.Example:8080/x/y", Origin("http", "a.example", 8080), "/x/y", "a.example:8080"),
        ("http://[::1]:9", Origin("http", "::1", 9), "", "[::1]:9"),
        ("http://関所.example", Origin("http", "xn--8ous75i.example", 80), "", "xn--8ous75i.example"),
        ("unix:/run/a.sock", Origin("unix", "/run/a.sock", 0), "", "localhost"),
    ],
)
def test_a_url_is_an_origin_and_a_base_path(url: str, origin: Origin, base: str, authority: str) -> None:
    assert parse_origin(url) == (origin, base)
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "a.example",
        "ftp://a.example",
        "https://",
        "https://a.example:port",
        "https://a.example:70000",
        "https://user:secret@a.example",
        "https://a.example/?q",
        "https://a.example/#f",
        "https://a.example/a b",
        "https://a b.example/",
        f"https://{'a' * 64}.example",
        "unix:relative",
        "unix://host/path",
    ],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parse_origin(url)
