import pytest

from sekisho.upstream.origin import parse_origin
from sekisho.upstream.proxy import Proxy


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_served"),
    [
        ("https://a.example", "", True),
        ("https://a.example", "*", False),
        ("https://a.example", "a.example", False),
        ("https://a.example", " b.example , A.Example ", False),
        ("https://a.example", "example", False),
        ("https://a.example", ".example", False),
        ("https://a.example", "*.example", False),
        ("https://aexample", "example", True),
        ("https://a.example", "a.example:443", False),
        ("https://a.example", "a.example:8443", True),
        ("https://10.1.2.3", "10.1.2.3", False),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://11.1.2.3", "10.0.0.0/8", True),
        ("https://a.example", "10.0.0.0/8", True),
        ("https://[fd00::1]", "fd00::/8", False),
        ("https://[fd00::1]", "[fd00::1]:443", False),
        ("http://localhost:8080", "", False),
        ("http://127.0.0.1:8080", "", False),
        ("http://[::1]:8080", "", False),
        ("unix:/run/a.sock", "", False),
    ],
)
def test_who_goes_through_the_proxy(url: str, no_proxy: str, is_served: bool) -> None:
    assert Proxy("http://proxy.example:3128", no_proxy).serves(parse_origin(url)[0]) is is_served


@pytest.mark.parametrize("url", ["https://proxy.example", "socks5://proxy.example", "proxy.example:3128", "http://"])
def test_a_proxy_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Proxy(url)
