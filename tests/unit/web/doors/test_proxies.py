"""Whose request it is behind load balancers, and that nobody can pretend to be somebody else."""

import pytest

from sekisho.web.doors.asgi import HeaderList
from sekisho.web.doors.proxies import Proxies

LB, CDN, ALICE, FORGED = "10.0.0.5", "192.0.2.10", "203.0.113.7", "198.51.100.66"
PROXIES = Proxies(("10.0.0.0/24", "192.0.2.10/32", "2001:db8:1::/48"))


def came(peer: str = LB, **headers: str | list[str]) -> tuple[str, str]:
    lines: HeaderList = []
    for name, values in headers.items():
        for value in [values] if isinstance(values, str) else values:
            lines.append((name.replace("_", "-").encode(), value.encode("latin-1")))
    return PROXIES.origin(peer, "http", lines)


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, LB),
        ({"x_forwarded_for": ALICE}, ALICE),
        ({"x_forwarded_for": f"{ALICE}:51234"}, ALICE),
        ({"x_forwarded_for": f" {ALICE} , {CDN} "}, ALICE),
        ({"x_forwarded_for": f"{ALICE},{CDN}:443,10.0.0.9"}, ALICE),
        ({"x_forwarded_for": "[2001:db8:9::7]:443"}, "2001:db8:9::7"),
        ({"x_forwarded_for": "2001:db8:9::7, 2001:db8:1::1"}, "2001:db8:9::7"),
        ({"x_forwarded_for": f"::ffff:{ALICE}"}, ALICE),
        ({"x_forwarded_for": "10.0.0.9"}, "10.0.0.9"),  # from within: the farthest proxy itself
        ({"forwarded": f"for={ALICE}"}, ALICE),
        ({"forwarded": f'For="{ALICE}:51234";Proto=https;by=10.0.0.1'}, ALICE),
        ({"forwarded": 'for="[2001:db8:9::7]:4711"'}, "2001:db8:9::7"),
        ({"forwarded": [f"for={FORGED}", f"for={ALICE}, for={CDN}"]}, ALICE),
        ({"forwarded": f"for={ALICE}", "x_forwarded_for": ALICE}, ALICE),
    ],
)
def test_the_first_hop_from_the_end_that_is_no_proxy_is_the_visitor(headers, address):
    assert came(**headers)[0] == address


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"x_forwarded_for": f"{FORGED}, {ALICE}"}, ALICE),
        ({"x_forwarded_for": [FORGED, ALICE]}, ALICE),
        ({"x_forwarded_for": f"{FORGED}, 10.0.0.7, {ALICE}, {CDN}"}, ALICE),
        ({"x_forwarded_for": f"{FORGED}, nonsense"}, LB),
        ({"x_forwarded_for": f"{FORGED}, unknown, {CDN}"}, CDN),
        ({"x_forwarded_for": f"{FORGED},"}, LB),
        ({"x_forwarded_for": ","}, LB),
        ({"x_forwarded_for": f"{FORGED}\u00e9"}, LB),
        ({"x_forwarded_for": "1" * 60_000}, LB),
        ({"x_forwarded_for": "10.0.0.9," * 7_000 + ALICE}, ALICE),
        ({"x_forwarded_for": FORGED + ", 10.0.0.9" * 7_000}, "10.0.0.9"),  # so many proxies has nobody
        ({"forwarded": f"for={FORGED}, for=unknown"}, LB),
        ({"forwarded": f"for={FORGED}, for=_hidden"}, LB),
        ({"forwarded": f'for="{FORGED}, for={ALICE}'}, ALICE),
        ({"forwarded": f'for="{FORGED};for={ALICE}'}, LB),
        ({"forwarded": f"for = {FORGED}"}, LB),
        ({"forwarded": ";" * 60_000}, LB),
        # a proxy writes one of the two headers; the other one is the visitor's: neither is believed
        ({"forwarded": f"for={FORGED}", "x_forwarded_for": ALICE}, LB),
        ({"forwarded": f"for={ALICE}", "x_forwarded_for": FORGED}, LB),
    ],
)
def test_what_visitors_write_themselves_is_not_believed(headers, address):
    assert came(**headers)[0] == address


@pytest.mark.parametrize("peer", [FORGED, "192.0.2.11", "2001:db8:2::1", "", "nonsense"])
def test_nobody_but_a_trusted_proxy_speaks_for_others(peer):
    said = {"x_forwarded_for": ALICE, "x_forwarded_proto": "https", "forwarded": f"for={ALICE};proto=https"}
    assert came(peer, **said) == (peer, "http")


def test_without_trusted_proxies_everybody_is_who_is_at_the_other_end():
    headers = [(b"x-forwarded-for", ALICE.encode()), (b"x-forwarded-proto", b"https")]
    assert Proxies().origin("127.0.0.1", "http", headers) == ("127.0.0.1", "http")


def test_a_load_balancer_that_nobody_has_named_is_noticed_once(caplog):
    proxies = Proxies()
    for headers in ([], [(b"x-forwarded-for", ALICE.encode())], [(b"forwarded", b"for=a")]):
        proxies.origin(LB, "http", headers)
    assert [record.getMessage().partition(" and")[0] for record in caplog.records] == [f"{LB} names other visitors"]


def test_a_proxy_in_the_form_of_ipv6_is_the_same_proxy():
    assert came(f"::ffff:{LB}", x_forwarded_for=ALICE)[0] == ALICE


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"x_forwarded_proto": "https"}, "https"),
        ({"x_forwarded_for": ALICE, "x_forwarded_proto": "HTTPS"}, "https"),
        ({"x_forwarded_for": ALICE, "x_forwarded_proto": "https, http"}, "http"),  # the visitor's own word comes first
        ({"x_forwarded_for": f"{ALICE}, {CDN}", "x_forwarded_proto": "https, http"}, "https"),
        ({"x_forwarded_for": f"{ALICE}, {CDN}", "x_forwarded_proto": "https"}, "https"),
        ({"x_forwarded_for": f"{ALICE}, {CDN}, {CDN}", "x_forwarded_proto": "https, http"}, "http"),
        ({"x_forwarded_for": ALICE, "x_forwarded_proto": "javascript"}, "http"),
        ({"forwarded": f"for={FORGED};proto=https, for={ALICE};proto=http"}, "http"),
        ({"forwarded": f"for={ALICE};proto=https, for={CDN};proto=http"}, "https"),
        ({"forwarded": f"for={ALICE};proto=https", "x_forwarded_for": ALICE}, "https"),
        ({"forwarded": f"for={FORGED};proto=https", "x_forwarded_for": ALICE}, "http"),
    ],
)
def test_the_scheme_is_what_the_proxy_saw(headers, scheme):
    assert came(**headers)[1] == scheme
